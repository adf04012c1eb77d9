// The kernel's decoders of texts and of values that were JSON or came from an app, as fuzz targets.
import type { Random } from '../../bench/crash/random.ts';
import { base64urlToBytes, bytesToBase64url, bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { actsFromJson, actsToJson, isName } from '../../kernel/control/acts.ts';
import { decodeInvite, encodeInvite } from '../../kernel/control/invite-link.ts';
import { type ErrorKind, errorToPlain, FoldlogError, isPlainError, plainToError } from '../../kernel/errors.ts';
import { decodeOps, encodeOps, isClassName, type JsonValue, type Op } from '../../kernel/op-body.ts';
import { chunkFromPath, shardFromPath, workspaceFromPath } from '../../kernel/relay-api.ts';
import { decodeCredential } from '../../kernel/request-signature.ts';
import { readSystemOp, systemOp } from '../../kernel/system-ops.ts';
import { epoch, hash, seq, shardId, slot } from '../../kernel/units.ts';
import { vector } from '../kernel/support/decoders.ts';
import { anyJson, anyValue, mutatedJson } from './json-mutations.ts';
import { madeOps } from './made-values.ts';
import { anyText, isOneIn, looseText, mutatedText, oneOf } from './mutations.ts';
import { type Target, type ValueTarget, valueTarget } from './targets.ts';

const corruption: readonly ErrorKind[] = ['corrupt'];
const target = <Input, T>(parts: ValueTarget<Input, T>): Target<unknown> => valueTarget(parts) as Target<unknown>;

const textOf = (name: string): string => looseText(vector(name));
const credential = textOf('request-credential');
const invite = textOf('invite-link');

/** Texts by mutation of the samples, or from nothing. */
const texts =
  (...samples: readonly string[]) =>
  (random: Random): string =>
    isOneIn(random, 8) ? anyText(random) : mutatedText(random, oneOf(random, samples), [...samples, credential, invite]);

const idTarget = (name: string, decode: (text: string) => Uint8Array, length: number): Target<unknown> =>
  target({
    name: `${name} in a path`,
    covers: [decode.name],
    weight: 0.3,
    kinds: corruption,
    input: texts('0123456789abcdef'.repeat(4).slice(0, 2 * length), 'f'.repeat(2 * length)),
    decode,
    isTrue: (bytes, text) => bytes.length === length && bytesToHex(bytes) === text,
  });

const actLists = ['acts-genesis', 'acts-relay', 'acts-invite', 'acts-device', 'acts-shard', 'acts-cut', 'acts-revoke'].map(
  (name) => JSON.parse(textOf(name)) as JsonValue,
);

const origin = { shard: shardId(vector('shard-id')), epoch: epoch(2), firstSeq: seq(4), lastSeq: seq(9) };
const systemOps: readonly Op[] = [
  systemOp({ kind: 'schemaMoved', from: 1, to: 2, foldId: hash(vector('group-hash')) }),
  systemOp({ kind: 'rebased', from: origin, cut: seq(3), controlSlot: slot(7), born: undefined, attest: undefined }),
  systemOp({ kind: 'rebased', from: origin, cut: seq(3), controlSlot: slot(7), born: { ...origin, epoch: epoch(1) }, attest: undefined }),
];

const plainError = errorToPlain(new FoldlogError('corrupt', { where: 'a', reason: 'b', found: 'c', expected: 'd' }));

export const textTargets: readonly Target<unknown>[] = [
  target({
    name: 'hex',
    covers: ['hexToBytes'],
    weight: 0.3,
    kinds: corruption,
    input: texts('00ff10', 'deadbeef'.repeat(8)),
    decode: (text: string) => hexToBytes(text),
    isTrue: (bytes, text) => bytesToHex(bytes) === text,
  }),
  target({
    name: 'base64url',
    covers: ['base64urlToBytes'],
    weight: 0.5,
    kinds: corruption,
    input: texts('', 'AA', 'AAA', 'AAAA', 'iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w', '-_-_'),
    decode: (text: string) => base64urlToBytes(text),
    isTrue: (bytes, text) => bytesToBase64url(bytes) === text,
  }),
  idTarget('workspace', workspaceFromPath, 32),
  idTarget('shard', shardFromPath, 16),
  idTarget('chunk', chunkFromPath, 32),
  target({
    name: 'invite link',
    covers: ['decodeInvite'],
    weight: 0.5,
    kinds: ['misuse'],
    input: texts(invite, invite.slice(invite.indexOf('#')), ` ${invite}\n`),
    decode: decodeInvite,
    isTrue: (link, text) => text.includes(encodeInvite(link)),
  }),
  target({
    name: 'credential of a request',
    covers: ['decodeCredential'],
    weight: 0.5,
    kinds: ['misuse'],
    input: (random): string | undefined => (isOneIn(random, 50) ? undefined : texts(credential)(random)),
    decode: decodeCredential,
    isTrue: ({ key, time, signature }, text) =>
      text === `Foldlog-1 ${bytesToBase64url(key)}.${time}.${bytesToBase64url(signature)}` && signature.length === 64,
  }),
  target({
    name: 'acts',
    covers: ['actsFromJson'],
    weight: 2,
    kinds: ['corrupt', 'upgradeNeeded'],
    input: (random) => mutatedJson(random, oneOf(random, actLists)) as JsonValue,
    decode: (json) => actsFromJson(json, 'fuzz'),
    isTrue: (acts, json) => JSON.stringify(actsToJson(acts)) === JSON.stringify(json),
  }),
  target({
    name: 'ops of the engine',
    covers: ['readSystemOp'],
    weight: 2,
    kinds: ['corrupt', 'upgradeNeeded'],
    input: (random): Op => {
      const op = oneOf(random, systemOps);
      const name = isOneIn(random, 20) ? `foldlog.${anyText(random)}` : op.class;
      return {
        class: name,
        version: isOneIn(random, 20) ? random.between(1, 3) : 1,
        payload: mutatedJson(random, op.payload) as JsonValue,
      };
    },
    decode: (op) => readSystemOp(op, 'fuzz'),
    isTrue: (read, op) => JSON.stringify(systemOp(read)) === JSON.stringify(op),
  }),
  target({
    name: 'payloads of an app',
    covers: ['encodeOps'],
    weight: 2,
    kinds: ['misuse'],
    input: (random): readonly Op[] => {
      const ops = madeOps(random);
      const odd = {
        class: isOneIn(random, 8) ? anyText(random) : 'a',
        version: isOneIn(random, 8) ? anyValue(random) : 1,
        payload: anyValue(random),
      };
      return isOneIn(random, 3) ? ops : [...ops, odd as Op];
    },
    decode: (ops) => encodeOps(ops, 'fuzz'),
    // What was taken says the same to every reader: JSON's own word for it, and the decoder's.
    isTrue: (body, ops) => {
      const expected = ops.map(({ class: name, version, payload, id }) => [name, version, payload, ...(id === undefined ? [] : [id])]);
      const read = decodeOps(body, ops.length, 'fuzz');
      return looseText(body) === JSON.stringify(expected) && read.every((op, i) => op.class === ops[i]?.class);
    },
  }),
  target({
    name: 'plain errors',
    covers: ['plainToError'],
    weight: 0.5,
    kinds: [],
    input: (random) => (isOneIn(random, 10) ? anyValue(random) : mutatedJson(random, plainError, () => anyJson(random))),
    decode: (value) => (isPlainError(value) ? plainToError(value) : undefined),
    isTrue: (error) => error === undefined || isPlainError(errorToPlain(error)),
  }),
  target({
    name: 'names',
    covers: [],
    weight: 0.3,
    kinds: [],
    input: texts('till-1', 'sale.completed', 'Käse 🧀', 'foldlog.rebased'),
    decode: (text: string) => [isName(text), isClassName(text)],
    isTrue: ([mayName, mayClass], text) => (!mayName && !mayClass) || (text.length <= 64 && text === text.trim()),
  }),
];
