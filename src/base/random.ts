/**
 * Random numbers without state: a value is a hash of (stream, index), so any of them can be recomputed, in any order,
 * on any number of threads, in TypeScript or in C. `streamKeys` names a stream ("dropout of layer 3 at step 7"),
 * `hash32` gives its index-th value. The C twin takes the two keys and must do exactly these uint32 operations.
 */

/** The two uint32 that name a stream of random numbers. */
export type StreamKeys = readonly [key0: number, key1: number];

const WEYL = 0x9e3779b1;

/** The finaliser of MurmurHash3: a bijection of uint32 in which each input bit flips each output bit half of the time. */
export function fmix32(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

/** The index-th uint32 of a stream. `index` is taken modulo 2³². */
export function hash32(keys: StreamKeys, index: number): number {
  const h = fmix32((Math.imul(index, WEYL) + keys[0]) | 0);
  return fmix32(h ^ keys[1]);
}

/** The index-th number of a stream, in [0, 1): 24 bits, so that it is exact as a C `float` too. */
export function uniform(keys: StreamKeys, index: number): number {
  return (hash32(keys, index) >>> 8) * 2 ** -24;
}

/** The index-th whole number of a stream, in [0, bound), for a bound of at most 2³². */
export function below(bound: number, keys: StreamKeys, index: number): number {
  return Math.floor((hash32(keys, index) * bound) / 2 ** 32);
}

function absorb(keys: [number, number], word: number): void {
  // Two different rounds, so that streams whose first keys collide still differ in the second.
  keys[0] = fmix32((Math.imul(keys[0], 5) + word + 0xe6546b64) | 0);
  keys[1] = fmix32((Math.imul(keys[1], WEYL) ^ word ^ keys[0]) | 0);
}

function absorbNumber(keys: [number, number], value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`a random stream is named by whole numbers, got ${value}`);
  absorb(keys, value >>> 0);
  absorb(keys, Math.floor(value / 2 ** 32) | 0);
}

/**
 * The keys of the stream that `seed` and `parts` name. Each part counts, its kind and its place too:
 * ("a", "b"), ("ab") and (1), ("1") are different streams. Numbers must be safe integers.
 */
export function streamKeys(seed: number, ...parts: readonly (number | string)[]): StreamKeys {
  const keys: [number, number] = [0x243f6a88, 0x85a308d3];
  absorbNumber(keys, seed);
  for (const part of parts) {
    if (typeof part === "number") {
      absorb(keys, 1);
      absorbNumber(keys, part);
      continue;
    }
    absorb(keys, 2);
    absorb(keys, part.length);
    for (let i = 0; i < part.length; i++) absorb(keys, part.charCodeAt(i));
  }
  return keys;
}

/** A random order of 0 … n − 1 (Fisher-Yates), for n below 2³². */
export function shuffled(n: number, keys: StreamKeys): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const j = below(i + 1, keys, i);
    order[i] = order[j]!;
    order[j] = i;
  }
  return order;
}
