// A founded shop with some history on a relay that counts what its store is asked for; made once, then copied for every request that writes.
import { type Bytes, utf8 } from '../../kernel/bytes.ts';
import { type CheckpointFacts, signCheckpoint } from '../../kernel/checkpoint.ts';
import { sha256 } from '../../kernel/digest.ts';
import type { Receipt } from '../../kernel/receipt.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { epoch, hash, noHash, timeMs } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { ifAbsent, type ObjectStore } from '../../relay/object-store.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { vector } from '../kernel/support/decoders.ts';
import { foundedShop, okBody, startOfTests, TestTime, testHost } from '../relay/fixtures.ts';
import { readBytes } from '../vectors/fixtures.ts';

/** What a store was asked for since the last look. */
export interface StoreCalls {
  reads: number;
  puts: number;
  /** Puts and deletes that changed something. */
  changes: number;
}

function countedStore(store: ObjectStore, calls: StoreCalls): ObjectStore {
  return {
    async put(key, bytes, condition) {
      calls.puts++;
      const outcome = await store.put(key, bytes, condition);
      if (outcome.kind === 'written') calls.changes++;
      return outcome;
    },
    async get(key) {
      calls.reads++;
      return store.get(key);
    },
    async head(key) {
      calls.reads++;
      return store.head(key);
    },
    async delete(key) {
      calls.changes++;
      return store.delete(key);
    },
    async list(prefix, after, limit) {
      calls.reads++;
      return store.list(prefix, after, limit);
    },
  };
}

/** The relay takes smaller runs than the format's bound, so that the bound is met by inputs of a readable size. */
const settings = { runBytesMax: 64 * 1024 };
/** When requests come: after all of the history. */
const now = timeMs(startOfTests + 60_000);
const fuzzSeed = 'fuzz';

/** Slots of the shard that the history fills. */
export const slotsMade = 3;

export type World = Awaited<ReturnType<typeof makeWorld>>;

/** @param store where the relay keeps it; the fixture of a whole relay folder is made so, under a seed of its own. */
export async function makeWorld(store: ObjectStore = memoryStore(), seed = fuzzSeed) {
  const shop = await foundedShop({ seed, store, settings });
  const { shard, send, workspace, till } = shop;
  const reader = await workspace.join(send, 'back office', 'reader');
  const stranger = await workspace.join(send, 'till-2', 'writer');
  const firstReceipt = await shard.push(send).then(() => shard.receipt);
  await shard.push(send, await shard.nextRun(3));
  const receipt: Receipt = await shard.push(send, await shard.nextRun(40));
  const image = readBytes('tests/fixtures/format/1/image.db');
  const chunk = await webDeflate.deflate(image);
  await workspace.signed(send, till, 'PUT', relayPaths.chunk(workspace.id, shard.id, sha256(chunk)), chunk);
  const facts: CheckpointFacts = {
    shard: shard.id,
    number: 1,
    prev: noHash,
    epoch: epoch(1),
    head: receipt.head,
    slot: receipt.slot,
    slotObject: receipt.objectHash,
    slotTime: receipt.time,
    schemaVersion: 1,
    foldId: sha256(utf8('fold')),
    stateHash: hash(vector('state-hash')),
    time: receipt.time,
    controlHead: workspace.head,
    chunks: [{ hash: sha256(chunk), storedLength: chunk.length, rawLength: image.length }],
  };
  const statement = await signCheckpoint(till.signer, facts);
  okBody(await workspace.signed(send, till, 'POST', relayPaths.checkpoints(workspace.id, shard.id), statement));
  const objects = await allOf(store);
  const devices = { owner: workspace.owner, till, reader, stranger };
  return { workspace, shard, devices, receipt, firstReceipt, receiptBytes: shard.receipt, chunk, facts, statement, objects };
}

async function allOf(store: ObjectStore): Promise<ReadonlyMap<string, Bytes>> {
  const objects = new Map<string, Bytes>();
  for (let after = ''; ; ) {
    const page = await store.list('', after, 100);
    if (page.kind !== 'listed') throw new Error('the store does not list');
    for (const key of page.keys) {
      const found = await store.get(key);
      if (found.kind === 'found') objects.set(key, found.bytes);
    }
    if (!page.isMore) return objects;
    after = page.keys.at(-1) ?? '';
  }
}

/** The relay over a copy of the history, at one fixed moment. */
export async function relayOver(objects: ReadonlyMap<string, Bytes>) {
  const calls: StoreCalls = { reads: 0, puts: 0, changes: 0 };
  const store = memoryStore();
  for (const [key, bytes] of objects) await store.put(key, bytes, ifAbsent);
  const time = new TestTime();
  time.pass(now - startOfTests);
  const host = testHost({ seed: fuzzSeed, store: countedStore(store, calls), time, settings });
  await host.relay.ready();
  calls.changes = 0;
  return { ...host, calls };
}

export const requestTime = now;
