// A short fuzz run, the list of targets against the kernel's exports, and the proof that each promise can be broken.
// A long run: `npm run fuzz -- --executions N --seed S`.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../../bench/crash/random.ts';
import { type Bytes, hexToBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { Reader } from '../../kernel/wire.ts';
import { ifAbsent, isObjectKey } from '../../relay/object-store.ts';
import { root } from '../vectors/fixtures.ts';
import { allTargets, type FuzzSettings, runFuzz, runTargets } from './fuzz.ts';
import { anyBytes, mutatedBytes } from './mutations.ts';
import { relayTarget } from './relay-target.ts';
import { relayOver } from './relay-world.ts';
import { type BytesTarget, bytesTarget, type Target } from './targets.ts';

/** Names that say: this reads what came from outside. Predicates over outside values are told by hand in text-targets.ts. */
const isDecoder = (name: string): boolean => /^(?:decode|read|unpack|parse)[A-Z]|From(?:Json|Path|Utf8)$|ToBytes$|ToError$/.test(name);
/** Rows of our own database: any bytes are text there, by intent. */
const notFromOutside = ['looseTextFromUtf8'];

async function exportsOfKernel(): Promise<readonly string[]> {
  const folder = join(root, 'kernel');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !path.endsWith('.d.ts'),
  );
  const modules = await Promise.all(files.map((file) => import(join(folder, file)) as Promise<Record<string, unknown>>));
  return modules.flatMap((module) => Object.keys(module).filter((name) => typeof module[name] === 'function'));
}

describe('targets', () => {
  test('every exported decoder of the kernel has one, and none names a function that is gone', async () => {
    const names = await exportsOfKernel();
    const covered = (await allTargets()).flatMap(({ covers }) => covers);
    expect(names.filter((name) => isDecoder(name) && ![...covered, ...notFromOutside].includes(name))).toEqual([]);
    expect(covered.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter(isDecoder).length).toBeGreaterThan(20);
  });

  test('each reaches values as well as refusals, and the relay most of its reasons', async () => {
    const { failures, targets } = await runFuzz({ executions: 30_000, seed: 20_261_121 });
    expect(failures).toEqual([]);
    for (const { name, endings, executions } of targets) {
      if (['relay', 'plain errors', 'names'].includes(name)) continue;
      expect(endings.value, name).toBeGreaterThan(0);
      expect(endings.value, name).toBeLessThan(executions);
    }
    const relay = targets.find(({ name }) => name === 'relay');
    expect(Object.keys(relay?.endings ?? {}).length).toBeGreaterThan(30);
    expect(relay?.endings).toMatchObject({ 200: expect.any(Number), 204: expect.any(Number) });
  }, 120_000);
});

describe('a run', () => {
  test('is the same again under the same seed, and another under another', async () => {
    const inputsUnder = async (seed: number): Promise<readonly string[]> => {
      const { target, taken } = inputsOf('is the same');
      await runTargets([target], { executions: 50, seed });
      return taken();
    };
    const once = await inputsUnder(1);
    expect(await inputsUnder(1)).toEqual(once);
    expect(await inputsUnder(2)).not.toEqual(once);
    expect(new Set(once).size).toBeGreaterThan(45);
  });

  test('begun at a number meets the inputs from that number on', async () => {
    const all = inputsOf('a');
    await runTargets([all.target], { executions: 20, seed: 7 });
    const late = inputsOf('a');
    await runTargets([late.target], { executions: 5, seed: 7, from: 10 });
    expect(late.taken()).toEqual(all.taken().slice(10, 15));
  });

  test('refuses a target that is not there', async () => {
    await expect(runFuzz({ executions: 1, seed: 1, target: 'nothing' })).rejects.toThrow('no target nothing; there are: group header');
  });

  test('changes bytes by cutting, lengthening and altering them', () => {
    const sample = Uint8Array.from({ length: 64 }, (_, i) => i);
    const lengths = new Set<number>();
    let altered = 0;
    for (let i = 0; i < 500; i++) {
      const bytes = mutatedBytes(new Random(1, i), sample, [sample]);
      lengths.add(bytes.length);
      if (bytes.length === 64 && bytes.some((byte, at) => byte !== at)) altered++;
    }
    expect(Math.min(...lengths)).toBeLessThan(10);
    expect(Math.max(...lengths)).toBeGreaterThan(90);
    expect(altered).toBeGreaterThan(100);
    expect(sample).toEqual(Uint8Array.from({ length: 64 }, (_, i) => i));
  });
});

/** A target that keeps what it is given. */
function inputsOf(name: string): { readonly target: Target<unknown>; readonly taken: () => readonly string[] } {
  const given: string[] = [];
  const target: Target<string> = {
    name,
    covers: [],
    weight: 1,
    input: (random) => String(random.between(0, 1_000_000)),
    describe: (input) => input,
    judge(input) {
      given.push(input);
      return 'value';
    },
  };
  return { target: target as Target<unknown>, taken: () => given.splice(0) };
}

const settings: FuzzSettings = { executions: 400, seed: 3 };
const sample = hexToBytes('00010203');

const firstByteBelow = (bytes: Bytes, bound: number): number => {
  const reader = new Reader(bytes, 'planted');
  const byte = reader.u8();
  reader.end();
  if (byte < bound) return byte;
  throw FoldlogError.corrupt({ where: 'planted', reason: 'outOfBounds', found: String(byte), expected: `below ${bound}` });
};

const planted: readonly (readonly [fault: string, found: string, BytesTarget<unknown>['decode'], Partial<BytesTarget<unknown>>])[] = [
  ['throws something else', 'threw RangeError', (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0), {}],
  [
    'takes two spellings of one value',
    'written back as other bytes',
    (b) => firstByteBelow(b, 200) & 0x7f,
    { samples: [Uint8Array.of(5)], encode: (v) => Uint8Array.of(v as number) },
  ],
  ['believes a length and allocates for it', 'a value of', (bytes) => new Uint8Array(firstByteBelow(bytes, 255) * 1_000), {}],
  ['sorts its input in place', 'the input was changed', (bytes) => bytes.sort().length, {}],
  ['refuses by an error for app code', 'refused as misuse', (bytes) => misuse(bytes.length), {}],
  ['pours its input into the message', 'an error message of', (bytes) => poured(bytes), {}],
  [
    'does not take what its own encoder writes',
    'a valid value came back as',
    (bytes) => firstByteBelow(bytes, 100),
    { make: (random) => random.between(0, 255), encode: (value) => Uint8Array.of(value as number) },
  ],
  [
    'gives back another value than the one written',
    'another value came back',
    (bytes) => firstByteBelow(bytes, 256) & 0x7f,
    { make: (random) => random.between(0, 255), encode: (value) => Uint8Array.of(value as number) },
  ],
];

function misuse(length: number): never {
  throw FoldlogError.misuse({ where: 'planted', reason: 'badUnit', found: `${length} bytes`, expected: '32 bytes' });
}

function poured(bytes: Bytes): never {
  throw FoldlogError.corrupt({ where: 'planted', reason: 'x', found: [...bytes].join(' ').repeat(20), expected: 'less' });
}

describe('a planted fault of a decoder is found', () => {
  test.each(planted)('%s', async (name, found, decode, more) => {
    const target = bytesTarget<unknown>({ name, covers: [], samples: [sample], decode, ...more }) as Target<unknown>;
    const { failures } = await runTargets([target], settings);
    expect(failures.map((failure) => failure.found).join('\n')).toContain(found);
    const first = failures[0];
    // Its number alone brings it back.
    const again = await runTargets([target], { executions: 1, seed: settings.seed, from: first?.number ?? -1 });
    expect(again.failures.map(({ input }) => input)).toEqual([first?.input]);
  });
});

describe('a planted fault of the relay is found', () => {
  type Host = Awaited<ReturnType<typeof relayOver>>;
  type Fetch = Host['relay']['fetch'];
  const faulty = async (change: (host: Host, fetch: Fetch) => Fetch): Promise<readonly string[]> => {
    const target = await relayTarget(async (objects) => {
      const host = await relayOver(objects);
      const inner: Fetch = (request) => host.relay.fetch(request);
      return { ...host, relay: { ready: () => host.relay.ready(), fetch: change(host, inner) } };
    });
    const { failures } = await runTargets([target], { executions: 60, seed: 5 });
    return failures.map(({ found }) => found);
  };

  test('a failure that no rule foresaw', async () => {
    const fail: Fetch = async () => new Response('{}', { status: 500 });
    expect((await faulty(() => fail))[0]).toContain('status 500');
  });

  test('an object stored by a request that is then refused', async () => {
    const found = await faulty((host, fetch) => async (request) => {
      const response = await fetch(request);
      if (response.status === 422) await host.store.put('left-behind', anyBytes(new Random(1), 8), ifAbsent);
      return response;
    });
    expect(isObjectKey('left-behind')).toBe(true);
    expect(found[0]).toContain('refused with 422, and 1 objects were written');
  });

  test('an error without its fields', async () => {
    const bare: Fetch = async () => Response.json({ error: 'no' }, { status: 400 });
    expect((await faulty(() => bare))[0]).toContain('an error without its fields');
  });

  test('a store asked more often than the request is worth', async () => {
    const found = await faulty((host, fetch) => async (request) => {
      for (let i = 0; i < 50; i++) await host.store.get('w');
      return fetch(request);
    });
    expect(found[0]).toContain('store calls for one request');
  });
});
