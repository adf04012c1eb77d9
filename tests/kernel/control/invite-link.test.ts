import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeInvite, encodeInvite } from '../../../kernel/control/invite-link.ts';
import type { PublicKey, WorkspaceId } from '../../../kernel/units.ts';
import { relay, seeds, workspace } from '../../vectors/cast.ts';
import { anyBytes } from '../support/arbitraries.ts';

const link = { workspace, relayKey: relay.publicKey, seed: seeds.invite };
const fragment = encodeInvite(link);
const badInvite = expect.objectContaining({ kind: 'misuse', reason: 'badInvite' });

describe('invite link', () => {
  test('any link comes back, whole, as a fragment, or in a line of text', () => {
    fc.assert(
      fc.property(anyBytes(32), anyBytes(32), anyBytes(32), (id, relayKey, seed) => {
        const made = { workspace: id as unknown as WorkspaceId, relayKey: relayKey as unknown as PublicKey, seed };
        const text = encodeInvite(made);
        for (const around of [text, `#${text}`, `https://shop.example/join#${text}`, `  ${text}\n`])
          expect(decodeInvite(around)).toEqual(made);
      }),
    );
  });

  test('nothing but base64url and dots is in it', () => {
    expect(fragment).toMatch(/^foldlog-invite\.[\w-]{43}\.[\w-]{43}\.[\w-]{43}$/);
  });

  test.each<readonly [string, string]>([
    ['nothing', ''],
    ['another link', 'https://shop.example/join'],
    ['only its beginning', fragment.slice(0, 40)],
    ['one character less', fragment.slice(0, -1)],
    ['one character more', `${fragment}A`],
    ['a part less', fragment.split('.').slice(0, -1).join('.')],
    ['a part more', `${fragment}.${'A'.repeat(43)}`],
    ['a character outside the alphabet', `${fragment.slice(0, -1)}=`],
    ['a letter that looks alike', fragment.replace(/.$/, 'А')],
    ['stray bits at the end of a part', fragment.replace(/.$/, 'B')],
    ['a byte order mark behind the prefix', fragment.replace('invite.', 'invite.\ufeff')],
    ['a space behind the prefix', fragment.replace('invite.', 'invite. ')],
    ['a mail program’s line break', `${fragment.slice(0, 60)}\n${fragment.slice(60)}`],
  ])('%s is refused, and no part of it is told', (_what, text) => {
    expect(() => decodeInvite(text)).toThrow(badInvite);
    try {
      decodeInvite(text);
    } catch (error) {
      expect(String(error)).not.toContain(fragment.slice(-20));
    }
  });

  test('arbitrary text is refused as misuse, never as anything else', () => {
    const parts = fc.array(fc.constantFrom('foldlog-invite.', '.', 'A'.repeat(43), 'A'.repeat(42), 'B', '🧀', ' '), { maxLength: 8 });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          parts.map((all) => all.join('')),
        ),
        (text) => {
          try {
            return decodeInvite(text).seed.length === 32;
          } catch (error) {
            return (error as { kind?: string; reason?: string }).reason === 'badInvite';
          }
        },
      ),
    );
  });
});
