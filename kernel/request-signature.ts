// The one profile of signed requests: for reads and uploads that do not authenticate themselves. Form: docs/format.md#requests.
// The signature covers method, path with query, the body's digest and the time; all such requests are idempotent, so a replay
// inside the window changes nothing and the window bounds what an eavesdropper can read again.

import { base64urlToBytes, bytesToBase64url, utf8 } from './bytes.ts';
import { keyIdOf, sha256, tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import type { Signer, Verifier } from './ports.ts';
import { type KeyId, keyId, type PublicKey, type TimeMs, timeMs, type WorkspaceId } from './units.ts';

export interface SignedRequest {
  readonly workspace: WorkspaceId;
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array;
}

export interface RequestCredential {
  readonly key: KeyId;
  readonly time: TimeMs;
  readonly signature: Uint8Array;
}

const scheme = 'Foldlog-1';
/** 16 bytes, a decimal number without leading zeros, 64 bytes: one spelling each (the last digits leave no stray bits). */
const credentialPattern = /^Foldlog-1 ([\w-]{21}[AQgw])\.(0|[1-9]\d{0,15})\.([\w-]{85}[AQgw])$/;

/** Value of the `authorization` header. */
export async function signRequest(signer: Signer, request: SignedRequest, time: TimeMs): Promise<string> {
  const signature = await signer.sign(requestMessage(request, time));
  return `${scheme} ${bytesToBase64url(keyIdOf(signer.publicKey))}.${time}.${bytesToBase64url(signature)}`;
}

/** @throws {FoldlogError} `misuse` `badCredential` */
export function decodeCredential(header: string | undefined): RequestCredential {
  const [, key, time, signature] = credentialPattern.exec(header ?? '') ?? [];
  if (key === undefined || signature === undefined || !Number.isSafeInteger(Number(time))) {
    throw FoldlogError.misuse({
      where: 'authorization header',
      reason: 'badCredential',
      found: header === undefined ? 'none' : 'another form',
      expected: `${scheme} <key id>.<time>.<signature>`,
    });
  }
  return {
    key: keyId(base64urlToBytes(key, 'authorization')),
    time: timeMs(Number(time)),
    signature: base64urlToBytes(signature, 'authorization'),
  };
}

export const isRequestBy = (verifier: Verifier, key: PublicKey, request: SignedRequest, credential: RequestCredential): Promise<boolean> =>
  verifier.verify(key, requestMessage(request, credential.time), credential.signature);

function requestMessage(request: SignedRequest, time: TimeMs): Uint8Array {
  const line = utf8(`${request.method}\n${request.path}\n${time}\n`);
  return tagged('request', request.workspace, line, sha256(request.body));
}
