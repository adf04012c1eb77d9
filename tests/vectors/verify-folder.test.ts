// The second reader: verify_folder.py, written from docs/format.md in another language, against folders made by the kernel.
// Whole folders it must pass with the same figures as the kernel; spoiled ones it must refuse, naming the object.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, concatBytes, hexToBytes } from '../../kernel/bytes.ts';
import { hash, slot } from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import { at, relay, workspace } from './cast.ts';
import { readBytes, readJson, root, writeObjects } from './fixtures.ts';
import { forgeSlot, laterRelay, type MadeFolder, makeFolder } from './make-folder.ts';
import type { FormatVector } from './make-format.ts';
import { readFolder } from './read-folder.ts';

const hasPython = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))']).status === 0;
const why = hasPython ? '' : ' (needs python3, which is not here)';
const script = join(root, 'tests/vectors/verify_folder.py');
const run = promisify(execFile);

/** For folders whose checkpoints nobody looks at. */
const anyHash = hash(new Uint8Array(32));

let scratch: string;
let made: MadeFolder;
let folders = 0;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'foldlog-verify-'));
  const vectors = readJson<readonly FormatVector[]>('tests/vectors/format.json');
  const stateHash = hash(hexToBytes(vectors.find(({ name }) => name === 'state-hash')?.hex ?? ''));
  made = await makeFolder(readBytes('tests/fixtures/format/1/image.db'), stateHash);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Exit code and lines of the script. */
async function python(...args: readonly string[]): Promise<{ code: number; lines: readonly string[] }> {
  const ended = await run('python3', ['-B', script, ...args]).catch((error: { code: number; stdout: string }) => error);
  const code = 'code' in ended ? ended.code : 0;
  return { code, lines: ended.stdout.trim().split('\n') };
}

async function verify(objects: ReadonlyMap<string, Bytes>) {
  const folder = join(scratch, String(folders++));
  writeObjects(folder, objects);
  return python(folder);
}

describe.skipIf(!hasPython)(`the reader in Python${why}`, () => {
  test('it keeps the Ed25519 rule', async () => {
    const { code, lines } = await python('--signatures', join(root, 'tests/vectors/signatures.json'));
    expect([code, lines]).toEqual([0, ['376 signatures agree']]);
  });

  test('it keeps the body rule', async () => {
    const { code, lines } = await python('--bodies', join(root, 'tests/vectors/bodies.json'));
    expect([code, lines]).toEqual([0, ['105 bodies agree']]);
  });

  test('it passes the fixture folder of format 1', async () => {
    const { code, lines } = await python(join(root, 'tests/fixtures/format/1/objects'));
    expect([code, lines.at(-1)]).toEqual([0, 'verified']);
  });

  test('it passes a folder with two relay keys, two incarnations and checkpoints, and finds what the kernel finds', async () => {
    const { code, lines } = await verify(made.objects);
    const found = lines.map((line) => line.replace(/, state hash matches$/, ''));
    expect([code, lines.at(-1)]).toEqual([0, 'verified']);
    expect(found.slice(0, -1)).toEqual(await readFolder(webVerifier(), made.objects));
    expect(lines.join('\n')).toContain('slots 4, groups 20, ops 39, void 1, erased 1');
    expect(lines.join('\n')).toContain('slots 6, groups 6, ops 9, void 0, erased 0, epoch 4');
    expect(lines.join('\n')).toContain('slots 2, groups 1, ops 1, void 0, erased 0, epoch 2');
    expect(lines.filter((line) => line.endsWith('state hash matches'))).toHaveLength(2);
  });

  test('it passes names that are the store’s own', async () => {
    const extra = new Map([...made.objects, ['.tmp/x', Uint8Array.of(1)], ['probe/1/race', Uint8Array.of(1)]]);
    expect((await verify(extra)).code).toBe(0);
  });
});

type Objects = Map<string, Bytes>;
interface Spoiled {
  readonly what: string;
  readonly spoil: (objects: Objects, keys: Keys) => Promise<void> | void;
  readonly object: (keys: Keys) => string;
  readonly finding: string;
}
interface Keys {
  readonly till: (number: number) => string;
  readonly catalogue: (number: number) => string;
  readonly taken: (number: number) => string;
  readonly control: (number: number) => string;
  readonly checkpoint: (number: number) => string;
  readonly chunk: string;
}

const keysOf = ({ objects, tillLog, catalogueLog, takenLog }: MadeFolder): Keys => ({
  till: (number) => objectKeys.logSlot(tillLog.place, slot(number)),
  catalogue: (number) => objectKeys.logSlot(catalogueLog.place, slot(number)),
  taken: (number) => objectKeys.logSlot(takenLog.place, slot(number)),
  control: (number) => objectKeys.controlSlot(workspace, slot(number)),
  checkpoint: (number) => objectKeys.checkpoint(tillLog.place, number),
  chunk: [...objects.keys()].find((key) => key.includes('/chunk/')) ?? '',
});

const flip = (bytes: Uint8Array, at: number): Bytes => {
  const flipped = bytes.slice();
  const place = at < 0 ? flipped.length + at : at;
  flipped[place] = (flipped[place] as number) ^ 1;
  return flipped;
};
const get = (objects: Objects, key: string): Bytes => objects.get(key) as Bytes;

/** One flipped bit, as a disk or a network would have it. */
const flipped = (what: string, key: (keys: Keys) => string, at: number, finding: string): Spoiled => ({
  what,
  object: key,
  finding,
  spoil: (objects, keys) => void objects.set(key(keys), flip(get(objects, key(keys)), at)),
});

/** A change that the relay itself made, and signed. */
const forged = (
  what: string,
  key: (keys: Keys) => string,
  change: (signed: Bytes) => Uint8Array | undefined,
  finding: string,
  signer = relay,
): Spoiled => ({
  what,
  object: key,
  finding,
  spoil: async (objects, keys) => void objects.set(key(keys), await forgeSlot(signer, get(objects, key(keys)), change)),
});

const u64 = (bytes: Bytes, at: number, value: number): undefined => {
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(at < 0 ? bytes.length + at : at, BigInt(value));
};

function withEpoch(signed: Bytes, epoch: number): Bytes {
  new DataView(signed.buffer, signed.byteOffset).setUint32(64, epoch);
  return signed;
}

const till = (number: number) => (keys: Keys) => keys.till(number);
const control = (number: number) => (keys: Keys) => keys.control(number);
const taken = (number: number) => (keys: Keys) => keys.taken(number);
const fence = (keys: Keys) => keys.catalogue(2);
const statement = (number: number) => (keys: Keys) => keys.checkpoint(number);

// Offsets: docs/format.md#segment (run at 64, records at 124, seal before the relay's part), #fence, #control, #checkpoint.
const spoils: readonly Spoiled[] = [
  flipped('a bit of a body', till(1), 124 + 60, 'relay signature'),
  flipped('a bit of a relay signature', till(2), -1, 'relay signature'),
  flipped('a bit of the link to the object before', till(3), 40, 'link to the object before'),
  flipped('the format', till(1), 5, 'format 0'),
  forged('a bit of a body, with the relay’s help', till(1), (signed) => flip(signed, 124 + 60), 'seal'),
  forged('a bit of a salt, with the relay’s help', till(1), (signed) => flip(signed, 124 + 36), 'seal'),
  forged('a bit of a group’s time, with the relay’s help', till(1), (signed) => flip(signed, 124 + 12), 'seal'),
  forged('a bit of a group id, with the relay’s help', till(1), (signed) => flip(signed, 124 + 20), 'seal'),
  forged('a bit of a seal, with the relay’s help', till(2), (signed) => flip(signed, -33), 'seal'),
  forged('the control head in a seal, with the relay’s help', till(2), (signed) => flip(signed, -32 - 128), 'seal'),
  forged('the key id in a seal, with the relay’s help', till(2), (signed) => flip(signed, -32 - 144), 'seal'),
  forged('the link between groups, with the relay’s help', till(2), (signed) => flip(signed, 64 + 12), 'link to the group before'),
  forged('a seq, with the relay’s help', till(2), (signed) => flip(signed, 64 + 11), 'link to the group before'),
  forged('the epoch, with the relay’s help', till(2), (signed) => withEpoch(signed, 2), 'epoch 2'),
  forged('a time that falls', till(2), (signed) => u64(signed, -32, 1), 'time fell'),
  forged('a sum of bytes', till(2), (signed) => u64(signed, -24, 1), 'bytes before'),
  forged('a relay key nobody declared', till(2), (signed) => flip(signed, -1), 'relay signature'),
  forged('a slot signed by another relay key', till(3), () => undefined, 'relay signature', relay),
  forged('a byte after the deflate stream', till(2), lengthenRecords, 'does not inflate'),
  {
    what: 'a slot that is gone',
    object: till(2),
    finding: 'missing',
    spoil: (objects, keys) => void objects.delete(keys.till(2)),
  },
  {
    what: 'two slots in each other’s place',
    object: till(1),
    finding: 'holds slot 2',
    spoil: (objects, keys) => {
      const [one, two] = [get(objects, keys.till(1)), get(objects, keys.till(2))];
      objects.set(keys.till(1), two).set(keys.till(2), one);
    },
  },
  {
    what: 'a slot of another shard',
    object: till(1),
    finding: 'holds slot 1 of shard',
    spoil: (objects, keys) => void objects.set(keys.till(1), get(objects, keys.catalogue(1))),
  },
  flipped('a bit of genesis', control(1), 52 + 100, ''),
  flipped('a bit of a relay signature in the control log', control(4), -1, 'relay signature'),
  { ...flipped('a relay signature of before the relay was declared', control(1), -1, 'another head'), object: control(2) },
  flipped('a bit of an author’s signature', control(3), -89, "author's signature"),
  flipped('a bit of a control slot’s time', control(5), -81, 'relay signature'),
  flipped('a link of the control log', control(5), 52 + 50, 'another head'),
  flipped('a bit of the fence’s claim', fence, 80, 'relay signature'),
  forged('the cut of a fence, with the relay’s help', fence, (signed) => flip(signed, 79), 'closes another epoch or head'),
  forged('the author’s signature of a fence, with the relay’s help', fence, (signed) => flip(signed, 170), "author's signature"),
  forged(
    'an epoch that the fence leaves out, with the relay’s help',
    taken(3),
    (signed) => flip(signed, 70),
    'epochs of the fence',
    laterRelay,
  ),
  forged(
    'a time of the fence that its cut names, with the relay’s help',
    taken(3),
    (signed) => flip(signed, -25),
    'another fence',
    laterRelay,
  ),
  forged('a run of the old epoch after the cut, with the relay’s help', taken(4), (signed) => withEpoch(signed, 1), 'epoch 1', laterRelay),
  forged('a run of an epoch nobody opened, with the relay’s help', taken(4), (signed) => withEpoch(signed, 2), 'epoch 2', laterRelay),
  forged('the seal’s key in a new epoch, with the relay’s help', taken(4), (signed) => flip(signed, -32 - 144), 'seal', laterRelay),
  {
    what: 'a run behind a fence without its cut',
    object: (keys) => keys.catalogue(3),
    finding: 'a run of epoch 1',
    // What the old writer could still send, if the relay took it.
    spoil: async (objects, keys) => {
      const { catalogueLog } = await makeFolder(readBytes('tests/fixtures/format/1/image.db'), anyHash);
      await catalogueLog.append([catalogueLog.link(9, [{ class: 'price.set', version: 1, payload: 260 }], at(61))], at(62));
      objects.set(keys.catalogue(3), catalogueLog.slots[2]?.bytes as Bytes);
    },
  },
  flipped('a bit of a state hash', statement(1), 200, "author's signature"),
  flipped('a bit of a statement’s signature', statement(2), -1, "author's signature"),
  flipped('a link between statements', statement(2), 40, 'link'),
  {
    what: 'a chunk with another bit',
    object: statement(1),
    finding: 'length or hash',
    spoil: (objects, keys) => void objects.set(keys.chunk, flip(get(objects, keys.chunk), 20)),
  },
  {
    what: 'a chunk that is gone',
    object: statement(1),
    finding: 'no chunk',
    spoil: (objects, keys) => void objects.delete(keys.chunk),
  },
];

/** A run whose stored bytes go on after the end of its deflate stream: some inflaters would not notice. */
function lengthenRecords(signed: Bytes): Bytes {
  const view = new DataView(signed.buffer, signed.byteOffset);
  const stored = view.getUint32(64 + 56);
  view.setUint32(64 + 56, stored + 1);
  const end = 64 + 60 + stored;
  return concatBytes(signed.subarray(0, end), Uint8Array.of(0), signed.subarray(end));
}

describe('spoiled folders', () => {
  test.each(spoils)('the kernel refuses: $what', async ({ spoil }) => {
    const objects = new Map(made.objects);
    await spoil(objects, keysOf(made));
    await expect(readFolder(webVerifier(), objects)).rejects.toMatchObject({ name: 'FoldlogError', kind: 'corrupt' });
  });

  describe.skipIf(!hasPython)(`in Python${why}`, () => {
    const endings = new Map<string, string>();

    // One process for all: it remembers which signatures it has seen.
    beforeAll(async () => {
      const folders: string[] = [];
      for (const [i, { spoil }] of spoils.entries()) {
        const objects = new Map(made.objects);
        await spoil(objects, keysOf(made));
        folders.push(join(scratch, `spoiled-${i}`));
        writeObjects(join(scratch, `spoiled-${i}`), objects);
      }
      const { code, lines } = await python(...folders);
      expect(code).toBe(1);
      let folder = '';
      for (const line of lines) {
        if (line.startsWith('folder ')) folder = line.slice('folder '.length);
        else endings.set(folder, line);
      }
    });

    test.each(spoils.map((spoiled, i) => ({ ...spoiled, i })))('it is named: $what', ({ i, object, finding }) => {
      const ending = endings.get(join(scratch, `spoiled-${i}`)) ?? '';
      expect(ending.startsWith(`FAILED ${object(keysOf(made))}`), ending).toBe(true);
      expect(ending).toContain(finding);
    });
  });
});
