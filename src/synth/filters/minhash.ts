/**
 * Near-duplicates among any number of sets: MinHash (Broder 1997) with locality-sensitive hashing in bands, the sets on disk.
 * Sets of a Jaccard similarity of 0.6 meet in one of 21 bands with a probability of 0.99, those of 0.3 with 0.43. What meets
 * is compared: small sets exactly, large ones by their signatures, with a standard error of 0.06.
 */
import { fmix32, hash32, streamKeys } from "../../base/random.ts";
import { RecordFile } from "./record-file.ts";

const bands = 21;
const rows = 3;
const minima = bands * rows;
/** Sets of at most so many grams are kept whole, in 16 bits a gram. */
const smallSet = 32;
/** Of each band the newest sets that are compared: where thousands share a band, it is a template that they share. */
const mostInBand = 64;
const slotsOfBand = 2 ** 16;

const keys = streamKeys(0, "minhash");
const multipliers = Uint32Array.from({ length: minima }, (_, i) => hash32(keys, 2 * i) | 1);
const offsets = Uint32Array.from({ length: minima }, (_, i) => hash32(keys, 2 * i + 1));

export type Sketch = {
  /** [63] The low byte of each minimum. */
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

/** A set as it lies on the disk: fields of one record of bytes. */
class StoredSet {
  static readonly size = 220;
  readonly bytes = new Uint8Array(StoredSet.size);
  readonly signature = this.bytes.subarray(0, minima);
  /** How many grams there are: 0 for a large set. */
  readonly sizes = this.bytes.subarray(minima, minima + 1);
  readonly grams = new Uint16Array(this.bytes.buffer, 64, smallSet);
  /** The guard, and what the caller calls the set. */
  readonly numbers = new Uint32Array(this.bytes.buffer, 128, 2);
  /** [bands] The set before in the same slot of each band; 1-based, 0 for none. */
  readonly before = new Int32Array(this.bytes.buffer, 136, bands);
}

/** Finds, for one set after the other, an earlier one that is like it. */
export class MinHashIndex implements Disposable {
  readonly #sets: RecordFile;
  /** [bands][slots] The newest set of each slot; 1-based, 0 for none. */
  readonly #heads = new Int32Array(bands * slotsOfBand);
  /** How many small sets have had a gram of these 16 bits: those of a template are in many. */
  readonly #frequency = new Uint32Array(2 ** 16);
  readonly #set = new StoredSet();

  /** @param folder where there is room for some 220 bytes a set. */
  constructor(folder: string) {
    this.#sets = new RecordFile(folder, StoredSet.size);
  }

  /**
   * The most similar set with the same guard among those that meet in a band, if it reaches `threshold`; of equals the earliest.
   * Small sets must also be half as alike when grams weigh the less the more sets have them: two questions of one template
   * share its words, and differ in those that matter.
   */
  find(sketch: Sketch, guard: number, threshold: number): { name: number; similarity: number } | undefined {
    let best: { name: number; index: number; similarity: number } | undefined;
    const seen = new Set<number>();
    for (let band = 0; band < bands; band++) {
      let next = this.#heads[slotOf(sketch.signature, band, guard)]!;
      for (let walked = 0; next !== 0 && walked < mostInBand; walked++) {
        const index = next - 1;
        this.#sets.read(index, this.#set.bytes);
        next = this.#set.before[band]!;
        if (seen.has(index) || this.#set.numbers[0] !== guard) continue;
        seen.add(index);
        const similarity = this.#similarity(sketch, threshold);
        if (similarity < threshold) continue;
        const isBetter = best === undefined || similarity > best.similarity;
        if (isBetter || (similarity === best!.similarity && index < best!.index))
          best = { name: this.#set.numbers[1]!, index, similarity };
      }
    }
    return best;
  }

  /** Counts the grams of a set, whether it is added or not. */
  countGrams({ grams }: Sketch): void {
    for (const gram of grams ?? []) this.#frequency[gram]! += 1;
  }

  /**
   * Adds a set.
   * @param name a uint32: what `find` calls it.
   * @param guard a uint32; sets of different guards are never alike.
   * @throws RookeryError FILE_UNWRITABLE.
   */
  add(name: number, { signature, grams }: Sketch, guard: number): void {
    const set = this.#set;
    set.signature.set(signature);
    set.sizes[0] = grams?.length ?? 0;
    set.grams.set(grams ?? []);
    set.numbers.set([guard, name]);
    const number = this.#sets.count + 1;
    for (let band = 0; band < bands; band++) {
      const slot = slotOf(signature, band, guard);
      set.before[band] = this.#heads[slot]!;
      this.#heads[slot] = number;
    }
    this.#sets.append(set.bytes);
  }

  [Symbol.dispose](): void {
    this.#sets[Symbol.dispose]();
  }

  /** Of a sketch and the set that was read last. */
  #similarity({ signature, grams }: Sketch, threshold: number): number {
    const set = this.#set;
    const size = set.sizes[0]!;
    if (grams && size > 0) {
      const { plain, weighted } = jaccard(grams, set.grams.subarray(0, size), this.#frequency);
      return weighted >= threshold / 2 ? plain : 0;
    }
    let equal = 0;
    for (let i = 0; i < minima; i++) if (signature[i] === set.signature[i]) equal++;
    // One in 256 bytes is equal by chance.
    return Math.max(0, (equal / minima - 1 / 256) / (1 - 1 / 256));
  }
}

function slotOf(signature: Uint8Array, band: number, guard: number): number {
  let hash = fmix32(guard ^ band);
  for (let row = 0; row < rows; row++) hash = Math.imul(hash, 257) + signature[band * rows + row]!;
  return band * slotsOfBand + (fmix32(hash) % slotsOfBand);
}

/** Of two sorted sets: the share of their grams that both have, and the same with each gram weighed by how few have it. */
function jaccard(a: Uint16Array, b: Uint16Array, frequency: Uint32Array): { plain: number; weighted: number } {
  let [i, j, common, commonWeight, weight] = [0, 0, 0, 0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i] ?? Number.POSITIVE_INFINITY, b[j] ?? Number.POSITIVE_INFINITY];
    const gramWeight = 1 / Math.max(1, frequency[Math.min(left, right)]!);
    weight += gramWeight;
    if (left === right) {
      common += 1;
      commonWeight += gramWeight;
    }
    if (left <= right) i++;
    if (right <= left) j++;
  }
  return { plain: common / (a.length + b.length - common), weighted: commonWeight / weight };
}
