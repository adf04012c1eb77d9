// The browser build of SQLite-WASM, booted in Node over a simulated disk: a fresh instance per boot, as a new worker would have.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import type { Scheduler } from '../../kernel/ports.ts';
import { openMirrorPool } from '../../worker/engine/mirror/mirror-pool.ts';
import { type DurablePool, openSahPool } from '../../worker/engine/storage-pool.ts';
import { activate, type SimDisk } from './sim-disk.ts';
import type { SimPageStore } from './sim-page-store.ts';

const folder = join(dirname(createRequire(import.meta.url).resolve('@sqlite.org/sqlite-wasm/package.json')), 'dist');
const wasmBinary = readFileSync(join(folder, 'sqlite3.wasm'));

/** Compiled once: an instance is then made in a few milliseconds. */
const compiled = new WebAssembly.Module(wasmBinary);

function instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void): object {
  const instance = new WebAssembly.Instance(compiled, imports);
  done(instance, compiled);
  return instance.exports;
}

type Init = (options: {
  readonly instantiateWasm: typeof instantiateWasm;
  readonly print: () => void;
  readonly printErr: () => void;
}) => Promise<Sqlite3Static>;

let init: Promise<Init> | undefined;

export async function bootSqlite(): Promise<Sqlite3Static> {
  // The library decides by these globals whether it runs in a worker.
  const scope = globalThis as unknown as Record<string, unknown>;
  scope.self ??= globalThis;
  scope.WorkerGlobalScope ??= class {};
  scope.location ??= { href: 'http://localhost/worker.js', search: '' };
  init ??= import(/* @vite-ignore */ pathToFileURL(join(folder, 'index.mjs')).href).then((module) => (module as { default: Init }).default);
  const silence = { log: console.log, warn: console.warn, error: console.error };
  Object.assign(console, { warn: () => undefined, error: () => undefined });
  try {
    return await (await init)({ instantiateWasm, print: () => undefined, printErr: () => undefined });
  } finally {
    Object.assign(console, silence);
  }
}

export async function bootPool(disk: SimDisk, directory = 'store', instance?: Sqlite3Static): Promise<DurablePool> {
  const sqlite3 = instance ?? (await bootSqlite());
  return openSahPool(sqlite3, directory, async () => activate(disk));
}

export async function bootMirrorPool(
  pages: SimPageStore,
  scheduler: Scheduler,
  bytesMax = 64 * 1024 * 1024,
  instance?: Sqlite3Static,
): Promise<DurablePool> {
  const sqlite3 = instance ?? (await bootSqlite());
  return openMirrorPool(sqlite3, { store: pages.connect(), scheduler }, { bytesMax });
}
