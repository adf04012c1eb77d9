// `npm start`: builds what changed, starts the relay over a local folder with the demo till beside it, and says where.
// With --dev, Vite serves the till's sources instead and passes /relay on. Plain JavaScript, because it runs before anything is built,
// and nothing outside Node is imported before the checks have said what is missing.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const PAGE_DIR = join(root, 'dist', 'demo');
const NODE_MIN = [20, 19];
const PORT_DEFAULT = 8787;
/** Ports tried after the default one when no port was asked for. */
const PORTS_TRIED = 20;

const HELP = `npm start -- [options]

Starts Foldlog's relay over a local folder and serves the demo till at the same address.

  --port N      port to listen on (default ${PORT_DEFAULT}, or the next free one)
  --store DIR   where the relay keeps its key and its objects (default .foldlog)
  --host HOST   address to listen on (default 127.0.0.1: this machine only). Browsers give a page its storage only
                on localhost or over HTTPS: for other devices put an HTTPS proxy in front
  --dev         serve the till's sources with Vite instead of the built page
  --help        this text

Ctrl-C stops it.`;

/** Something a person can put right: told without a stack. */
class StartError extends Error {}

try {
  await main();
} catch (cause) {
  if (!(cause instanceof StartError) && process.env.DEBUG) console.error(cause);
  console.error(`\n${cause instanceof Error ? cause.message : cause}`);
  process.exitCode = 1;
}

async function main() {
  requireNode();
  const options = readOptions();
  if (options === undefined) return console.log(HELP);
  requirePackages();

  await step('Building the engine and the relay', 'tsc', ['-b']);
  if (!options.dev) {
    if (isPageStale()) await step('Building the till', 'vite', ['build', '--logLevel', 'warn']);
    else console.log('The till is built already.');
  }

  const relay = await listen(options);
  const vite = options.dev ? await serveSources(options, relay.url) : undefined;
  console.log(`\n  The till   ${vite?.url ?? relay.url}`);
  console.log(`  Self-test  ${vite?.url ?? relay.url}/selftest: open it on the device in question`);
  console.log(`  The relay  ${relay.url}/relay, keeping its data in ${options.store}\n\nCtrl-C stops it.`);
  stopOnSignal(async () => {
    await vite?.close();
    await relay.close();
  });
}

/**
 * @typedef {{ port: number | undefined, store: string, host: string, dev: boolean }} Options
 * @typedef {{ url: string, close(): Promise<void> }} Running
 */

/** @returns {Options | undefined} undefined when help was asked for */
function readOptions() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  let values;
  try {
    ({ values } = util.parseArgs({ options: { port: text, store: text, host: text, dev: flag, help: { ...flag, short: 'h' } } }));
  } catch (cause) {
    throw new StartError(`${cause instanceof Error ? cause.message : cause}\n\n${HELP}`);
  }
  if (values.help) return undefined;
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    throw new StartError(`--port: found ${JSON.stringify(values.port)}, expected a number from 0 to 65535`);
  }
  const store = resolve(process.env.INIT_CWD ?? process.cwd(), values.store ?? join(root, '.foldlog'));
  return { port, store, host: values.host ?? '127.0.0.1', dev: values.dev ?? false };
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [needMajor = 0, needMinor = 0] = NODE_MIN;
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return;
  throw new StartError(`Node ${process.versions.node} found, ${NODE_MIN.join('.')} or newer expected: install it and try again.`);
}

function requirePackages() {
  if (['tsc', 'vite'].every((tool) => existsSync(join(root, 'node_modules', '.bin', tool)))) return;
  throw new StartError('The packages are not installed: run `npm ci` here, then `npm start` again.');
}

/**
 * Runs a build tool and shows that it is at work.
 * @param {string} what @param {string} tool a command of node_modules/.bin @param {string[]} args
 */
async function step(what, tool, args) {
  const from = Date.now();
  process.stdout.write(`${what} … `);
  const child = spawn(join(root, 'node_modules', '.bin', tool), args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const code = await new Promise((settle) => {
    child.once('error', () => settle('no start'));
    child.once('close', settle);
  });
  if (code === 0) return console.log(`${((Date.now() - from) / 1000).toFixed(1)} s`);
  console.log('failed');
  throw new StartError(`${output.trim()}\n\n${what} failed (${tool} ended with ${code}).`);
}

/** Whether anything the page is built from is newer than the page. */
function isPageStale() {
  const page = join(PAGE_DIR, 'index.html');
  if (!existsSync(page)) return true;
  const builtAt = statSync(page).mtimeMs;
  const inputs = ['demo', 'dist/kernel', 'dist/shards', 'dist/worker', 'vite.config.ts', 'package-lock.json'];
  return inputs.some((input) => newestIn(join(root, input)) > builtAt);
}

/** @param {string} path @returns {number} newest change of a file, or of any file below a folder */
function newestIn(path) {
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return readdirSync(path).reduce((newest, name) => Math.max(newest, newestIn(join(path, name))), found.mtimeMs);
}

/** @param {Options} options @returns {Promise<Running>} */
async function listen({ port, store, host, dev }) {
  const built = new URL('../dist/relay/main.node.js', import.meta.url).href;
  const { startRelay } = await import(built);
  const serve = dev ? undefined : { dir: PAGE_DIR };
  const first = port ?? PORT_DEFAULT;
  for (let tried = first; ; tried++) {
    try {
      // Only the page takes the port that was asked for; with --dev that is Vite.
      return await startRelay({ folder: store, host, port: dev ? 0 : tried, serve });
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
      if (code === 'EACCES')
        throw new StartError(`Port ${tried} of ${host} may not be used by this user: choose one above 1023 with --port.`);
      if (code === 'EADDRNOTAVAIL') throw new StartError(`${host} is no address of this machine: choose another --host.`);
      if (code !== 'EADDRINUSE') throw cause;
      if (port !== undefined) throw new StartError(`Port ${port} is taken by another program: choose another --port, or leave it out.`);
      if (tried >= first + PORTS_TRIED) throw new StartError(`Ports ${first} to ${tried} are all taken: choose one with --port.`);
    }
  }
}

/** @param {Options} options @param {string} relayUrl @returns {Promise<Running>} */
async function serveSources({ port, host }, relayUrl) {
  const { createServer } = await import('vite');
  const server = await createServer({
    configFile: join(root, 'vite.config.ts'),
    server: { host, port: port ?? PORT_DEFAULT, strictPort: port !== undefined, proxy: { '/relay': relayUrl } },
  });
  await server.listen();
  return { url: (server.resolvedUrls?.local[0] ?? server.resolvedUrls?.network[0] ?? '').replace(/\/$/, ''), close: () => server.close() };
}

/** @param {() => Promise<void>} stop lets requests in progress end; a second signal does not wait for them */
function stopOnSignal(stop) {
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      isStopping = true;
      console.log('\nStopping …');
      stop().then(
        () => process.exit(0),
        (cause) => {
          console.error(cause);
          process.exit(1);
        },
      );
    });
  }
}
