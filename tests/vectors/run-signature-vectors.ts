// Runs tests/vectors/signatures.json against one verifier, wherever it lives: Node, workerd, a browser. Pure.
import { hexToBytes } from '../../kernel/bytes.ts';
import type { Verifier } from '../../kernel/ports.ts';
import type { PublicKey, Signature } from '../../kernel/units.ts';

export interface SignatureVector {
  readonly name: string;
  readonly key: string;
  readonly message: string;
  readonly signature: string;
  /** What every verifier of ours must say. */
  readonly valid: boolean;
  /** What the two equations say by point arithmetic, ignoring the byte checks; absent where a point does not decode. */
  readonly cofactorless?: boolean;
  readonly cofactored?: boolean;
}

/** One line for each vector on which the verifier disagrees or throws; empty when it keeps the rule. */
export async function runSignatureVectors(verifier: Verifier, vectors: readonly SignatureVector[]): Promise<readonly string[]> {
  const disagreements: string[] = [];
  for (const vector of vectors) {
    const found = await verdictOf(verifier, vector);
    if (found !== vector.valid) disagreements.push(`${vector.name}: found ${found}, expected ${vector.valid}`);
  }
  return disagreements;
}

async function verdictOf(verifier: Verifier, vector: SignatureVector): Promise<boolean | string> {
  try {
    // Some vectors have a wrong length on purpose: a verifier is total.
    return await verifier.verify(
      hexToBytes(vector.key) as PublicKey,
      hexToBytes(vector.message),
      hexToBytes(vector.signature) as Signature,
    );
  } catch (error) {
    return `a throw (${String(error)})`;
  }
}
