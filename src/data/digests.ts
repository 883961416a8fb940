/** The identity of a document: what makes two the same, and on which side of the held-out split one falls. */
import { hash } from "node:crypto";

/** 128 bits of the SHA-256 of the text, NFC-normalised and without white space around it. */
export type Digest = Uint32Array;

export function documentDigest(text: string): Digest {
  const bytes = hash("sha256", text.normalize("NFC").trim(), "buffer");
  return Uint32Array.from({ length: 4 }, (_, i) => bytes.readUInt32BE(4 * i));
}

/** Where a document lies in [0, 1), by its text alone: it is held out when this is below the share. */
export function splitPoint(digest: Digest): number {
  return digest[0]! / 2 ** 32;
}

/** A set of digests in 16 bytes each at half load, for more documents than a `Set` of strings could take. */
export class DigestSet {
  #slots = new Uint32Array(4 * 1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(digest: Digest): boolean {
    return this.#slotOf(keyOf(digest)).isTaken;
  }

  /** Adds a digest; false when it was there. */
  add(digest: Digest): boolean {
    if (!this.#insert(keyOf(digest))) return false;
    this.#size++;
    if (this.#size * 8 > this.#slots.length) this.#grow();
    return true;
  }

  #insert(key: Digest): boolean {
    const { at, isTaken } = this.#slotOf(key);
    if (!isTaken) this.#slots.set(key, at);
    return !isTaken;
  }

  /** Where the key is, or would be. */
  #slotOf(key: Digest): { at: number; isTaken: boolean } {
    const slots = this.#slots;
    const mask = slots.length / 4 - 1;
    for (let slot = key[1]! & mask; ; slot = (slot + 1) & mask) {
      const at = 4 * slot;
      if (slots[at] === 0 && slots[at + 1] === 0 && slots[at + 2] === 0 && slots[at + 3] === 0) {
        return { at, isTaken: false };
      }
      const isTaken =
        slots[at] === key[0] && slots[at + 1] === key[1] && slots[at + 2] === key[2] && slots[at + 3] === key[3];
      if (isTaken) return { at, isTaken };
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 4) {
      const key = old.subarray(at, at + 4);
      if (key.some((word) => word !== 0)) this.#insert(key);
    }
  }
}

/** An empty slot is four zeros: the one digest that looks like it (2⁻¹²⁸) takes its neighbour's place. */
function keyOf(digest: Digest): Digest {
  return digest.every((word) => word === 0) ? Uint32Array.of(0, 0, 0, 1) : digest;
}
