/**
 * Near-duplicates among any number of sets: MinHash (Broder 1997) with locality-sensitive hashing in bands, on typed arrays.
 * Sets of a Jaccard similarity of 0.7 meet in one of 16 bands with a probability of 0.99, those of 0.3 with 0.12. What meets
 * is compared: small sets exactly, large ones by their signatures, with a standard error of 0.06. A set takes some 280 bytes.
 */
import { fmix32, hash32, streamKeys } from "../../base/random.ts";
import { grown } from "../../text/growable.ts";

const minima = 64;
const bands = 16;
const rows = minima / bands;
/** Sets of at most so many grams are kept whole, in 16 bits a gram. */
const smallSet = 32;
/** Of each band the newest sets that are compared: where thousands share a band, it is a template that they share. */
const mostInBand = 64;

const keys = streamKeys(0, "minhash");
const multipliers = Uint32Array.from({ length: minima }, (_, i) => hash32(keys, 2 * i) | 1);
const offsets = Uint32Array.from({ length: minima }, (_, i) => hash32(keys, 2 * i + 1));

export type Sketch = {
  /** [64] The low byte of each minimum. */
  signature: Uint8Array;
  /** [size] The grams of a small set, 16 bits each, sorted; undefined for a large one. */
  grams: Uint16Array | undefined;
};

/** @param grams hashes that are spread over all 32 bits; repeated ones count once. */
export function sketchOf(grams: Uint32Array): Sketch {
  const signature = new Uint8Array(minima);
  for (let i = 0; i < minima; i++) {
    const [multiplier, offset] = [multipliers[i]!, offsets[i]!];
    let least = 0xffffffff;
    for (let at = 0; at < grams.length; at++) {
      // A bijection of 32 bits, in other words an order of its own on the grams.
      const value = Math.imul(grams[at]! ^ offset, multiplier) >>> 0;
      if (value < least) least = value;
    }
    // The high bits of a minimum are all zero; mixed, its low byte is as good as random.
    signature[i] = fmix32(least);
  }
  const short = new Set(grams.length <= 4 * smallSet ? Uint16Array.from(grams) : []);
  return { signature, grams: short.size > 0 && short.size <= smallSet ? Uint16Array.from(short).sort() : undefined };
}

/** Finds, for one set after the other, an earlier one that is like it. */
export class MinHashIndex {
  #count = 0;
  #capacity = 1024;
  #signatures = new Uint8Array(this.#capacity * minima);
  #grams = new Uint16Array(this.#capacity * smallSet);
  /** 0 for a large set. */
  #sizes = new Uint8Array(this.#capacity);
  #guards = new Uint32Array(this.#capacity);
  /** [bands][capacity] The newest set of each slot, and the one before it in the same slot; 1-based, 0 for none. */
  #heads = new Int32Array(this.#capacity * bands);
  #before = new Int32Array(this.#capacity * bands);

  get count(): number {
    return this.#count;
  }

  /** The most similar set with the same guard among those that meet in a band, if it reaches `threshold`; of equals the earliest. */
  find(sketch: Sketch, guard: number, threshold: number): { index: number; similarity: number } | undefined {
    let best: { index: number; similarity: number } | undefined;
    const seen = new Set<number>();
    for (let band = 0; band < bands; band++) {
      let next = this.#heads[this.#slot(sketch.signature, 0, band, guard)]!;
      for (let walked = 0; next !== 0 && walked < mostInBand; walked++) {
        const index = next - 1;
        next = this.#before[band * this.#capacity + index]!;
        if (seen.has(index) || this.#guards[index] !== guard) continue;
        seen.add(index);
        const similarity = this.#similarity(sketch, index);
        if (similarity < threshold) continue;
        const isBetter = best === undefined || similarity > best.similarity;
        if (isBetter || (similarity === best!.similarity && index < best!.index)) best = { index, similarity };
      }
    }
    return best;
  }

  /** Adds a set, which gets the next index. @param guard a uint32; sets of different guards are never alike. */
  add({ signature, grams }: Sketch, guard: number): void {
    if (this.#count === this.#capacity) this.#grow();
    this.#signatures.set(signature, this.#count * minima);
    this.#grams.set(grams ?? [], this.#count * smallSet);
    this.#sizes[this.#count] = grams?.length ?? 0;
    this.#guards[this.#count] = guard;
    this.#link(this.#count++);
  }

  #link(index: number): void {
    for (let band = 0; band < bands; band++) {
      const slot = this.#slot(this.#signatures, index * minima, band, this.#guards[index]!);
      this.#before[band * this.#capacity + index] = this.#heads[slot]!;
      this.#heads[slot] = index + 1;
    }
  }

  #slot(signatures: Uint8Array, start: number, band: number, guard: number): number {
    let hash = fmix32(guard ^ band);
    for (let row = 0; row < rows; row++) hash = Math.imul(hash, 257) + signatures[start + band * rows + row]!;
    return band * this.#capacity + (fmix32(hash) & (this.#capacity - 1));
  }

  #similarity({ signature, grams }: Sketch, index: number): number {
    const size = this.#sizes[index]!;
    if (grams && size > 0) {
      const start = index * smallSet;
      return jaccard(grams, this.#grams.subarray(start, start + size));
    }
    let equal = 0;
    for (let i = 0; i < minima; i++) if (signature[i] === this.#signatures[index * minima + i]) equal++;
    // One in 256 bytes is equal by chance.
    return Math.max(0, (equal / minima - 1 / 256) / (1 - 1 / 256));
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#signatures = grown(this.#signatures, 2 * this.#signatures.length);
    this.#grams = grown(this.#grams, 2 * this.#grams.length);
    this.#sizes = grown(this.#sizes, 2 * this.#sizes.length);
    this.#guards = grown(this.#guards, 2 * this.#guards.length);
    this.#heads = new Int32Array(this.#capacity * bands);
    this.#before = new Int32Array(this.#capacity * bands);
    for (let index = 0; index < this.#count; index++) this.#link(index);
  }
}

/** Of two sorted sets. */
function jaccard(a: Uint16Array, b: Uint16Array): number {
  let [i, j, common] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      common++;
      i++;
      j++;
    } else if (a[i]! < b[j]!) i++;
    else j++;
  }
  return common / (a.length + b.length - common);
}
