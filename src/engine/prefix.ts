/**
 * Keys of pages by what they hold. A key covers all that the page depends on: every token up to its end, the weights, how the
 * cache keeps its numbers, and the tenant. It is cryptographic, since a collision would show one user's text to another.
 */
import { createHash } from "node:crypto";

/** What stands before the first page of every text of a tenant. */
export function rootKey(weightsVersion: number, cacheType: string, salt: string): string {
  return createHash("sha256")
    .update(JSON.stringify([weightsVersion, cacheType, salt]))
    .digest("hex");
}

/** The key of a page that holds `tokens` behind the page of key `parent`. */
export function pageKey(parent: string, tokens: Int32Array): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return createHash("sha256").update(parent).update(bytes).digest("hex");
}
