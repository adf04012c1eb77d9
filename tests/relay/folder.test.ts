// The whole relay over a real folder: in process with kills at every store call, and as a process that is killed while it serves.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { base64urlToBytes } from '../../kernel/bytes.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import type { RelayInfo } from '../../kernel/relay-api.ts';
import { publicKey } from '../../kernel/units.ts';
import { webClock } from '../../kernel/web/web-host.ts';
import { openFolderStore } from '../../relay/stores/folder.ts';
import { keysOf, killedStore } from '../conformance/faulty-store.ts';
import { errorOf, foundedShop, okBody, sendHttp, sendTo, type TestRun, TestWorkspace, testHost, verifiedLog } from './fixtures.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldlog-folder-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('relay over a folder', () => {
  it('two instances with the folder opened twice: sixteen racing pushes of one run are one segment', async () => {
    const { host, send, shard } = await foundedShop({ store: await openFolderStore(folder) });
    const other = sendTo(testHost({ store: await openFolderStore(folder), time: host.time }));
    await shard.push(send);
    const run = await shard.nextRun(3);
    const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => shard.send(i % 2 === 0 ? send : other, run)));
    for (const answer of answers) expect(okBody(answer)).toEqual(okBody(answers[0] as (typeof answers)[number]));
    expect(await verifiedLog(host.signer.publicKey, shard, await shard.readLog(other))).toHaveLength(2);
  });

  it('killed at any store call, the same push ends with a receipt after reopening the folder', async () => {
    let calls = 0;
    for (const isApplied of [false, true]) {
      for (let call = 1, wasKilled = true; wasKilled; call++, calls++) {
        const root = join(folder, `${isApplied}-${call}`);
        const { host, send, shard } = await foundedShop({ store: await openFolderStore(root) });
        await shard.push(send);
        const run = await shard.nextRun(2);
        const store = killedStore(await openFolderStore(root), { call, isApplied });
        await shard.send(sendTo(testHost({ store, time: host.time })), run);
        wasKilled = store.calls >= call;
        const fresh = testHost({ store: await openFolderStore(root), time: host.time });
        expect(decodeReceipt(okBody(await shard.send(sendTo(fresh), run)), 'receipt')).toMatchObject({ slot: 2, head: run.head });
        expect(await verifiedLog(fresh.signer.publicKey, shard, await shard.readLog(sendTo(fresh)))).toHaveLength(2);
      }
    }
    expect(calls).toBeGreaterThan(10);
  });

  it('a folder whose objects were deleted is rolled back for whoever holds a receipt', async () => {
    const store = await openFolderStore(folder);
    const { send, shard } = await foundedShop({ store });
    await shard.push(send);
    for (const key of await keysOf(store, 'w/')) if (key.includes('/log/')) await store.delete(key);
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toEqual({ status: 503, kind: 'unavailable', reason: 'rolledBack' });
  });
});

describe('a relay process killed with SIGKILL while a device pushes', () => {
  const kills = 8;

  it(`keeps every acknowledged run, each once, over ${kills} kills`, async () => {
    const entry = join(folder, 'relay-process.mjs');
    const bundle = join(folder, 'relay.mjs');
    const source = fileURLToPath(new URL('../../relay/main.node.ts', import.meta.url));
    await build({ entryPoints: [source], outfile: bundle, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
    await writeFile(
      entry,
      `import { startRelay } from './relay.mjs';
const relay = await startRelay({ folder: process.argv[2], port: 0 });
process.stdout.write(relay.url + '\\n');`,
    );
    const start = async (): Promise<{ child: ChildProcess; url: string }> => {
      const child = spawn(process.execPath, [entry, join(folder, 'data')], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
      return { child, url: line.toString().trim() };
    };
    const kill = async (child: ChildProcess): Promise<void> => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    };

    let { child, url } = await start();
    try {
      const info = (await (await fetch(`${url}/relay/v1/relay`)).json()) as RelayInfo;
      const relayKey = publicKey(base64urlToBytes(info.key));
      const workspace = await TestWorkspace.make('sigkill', webClock);
      await workspace.found(sendHttp(`${url}/relay`), relayKey);
      const shard = await workspace.addShard(sendHttp(`${url}/relay`), workspace.owner, 'till', 'till-1');

      const runs: TestRun[] = [];
      const acknowledged: TestRun[] = [];
      let run = await shard.nextRun();
      for (let killed = 0; killed < kills; killed++) {
        // A few pushes, then one that the kill meets somewhere between its first byte and its answer.
        for (let n = 0; n < 3; n++) {
          await shard.push(sendHttp(`${url}/relay`), run);
          runs.push(run);
          acknowledged.push(run);
          run = await shard.nextRun(1 + n);
        }
        const inFlight = shard.send(sendHttp(`${url}/relay`), run).catch(() => undefined);
        for (let turn = 0; turn < 3 * killed; turn++) await new Promise((resolve) => setImmediate(resolve));
        await kill(child);
        const answer = await inFlight;
        if (answer?.kind === 'ok') acknowledged.push(run);
        ({ child, url } = await start());
      }
      await shard.push(sendHttp(`${url}/relay`), run);
      runs.push(run);

      const log = await verifiedLog(relayKey, shard, await shard.readLog(sendHttp(`${url}/relay`)));
      expect(log.map(({ head }) => head)).toEqual(runs.map(({ head }) => head));
      for (const { head } of acknowledged) expect(log.map((stored) => stored.head)).toContainEqual(head);
    } finally {
      await kill(child);
    }
  });
});
