// The fragment of an invite link: workspace id, relay key, one-time seed. It stays behind the `#`, so no server ever sees it.
// Form: docs/format.md#invite-link.

import { base64urlToBytes, bytesToBase64url } from '../bytes.ts';
import { FoldlogError } from '../errors.ts';
import { type PublicKey, publicKey, type WorkspaceId, workspaceId } from '../units.ts';

export interface InviteLink {
  readonly workspace: WorkspaceId;
  readonly relayKey: PublicKey;
  /** Makes the invite's one-time key. Secret until used up. */
  readonly seed: Uint8Array<ArrayBuffer>;
}

const prefix = 'foldlog-invite.';
/** 32 bytes in base64url: 42 digits, and one that leaves the last two bits zero. */
const keyPattern = /^[\w-]{42}[AEIMQUYcgkosw048]$/;

export const encodeInvite = (link: InviteLink): string =>
  prefix + [link.workspace, link.relayKey, link.seed].map(bytesToBase64url).join('.');

/**
 * Accepts a whole link or only its fragment.
 * @throws {FoldlogError} `misuse` `badInvite`
 */
export function decodeInvite(text: string): InviteLink {
  const start = text.indexOf(prefix);
  const parts =
    start < 0
      ? []
      : text
          .slice(start + prefix.length)
          .trimEnd() // what copying leaves behind a link; nothing belongs between the prefix and its parts
          .split('.');
  const [workspace, relayKey, seed] = parts;
  if (parts.length === 3 && parts.every((part) => keyPattern.test(part))) {
    return {
      workspace: workspaceId(base64urlToBytes(workspace as string, 'invite link')),
      relayKey: publicKey(base64urlToBytes(relayKey as string, 'invite link')),
      seed: base64urlToBytes(seed as string, 'invite link'),
    };
  }
  throw FoldlogError.misuse({
    where: 'invite link',
    reason: 'badInvite',
    found: start < 0 ? 'text without an invite' : 'an invite that is cut or mangled',
    expected: `${prefix} and three parts of 43 characters`,
    todo: 'copy the whole link again, or ask for a new one',
  });
}
