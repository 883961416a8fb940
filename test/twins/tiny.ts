/** A model small enough to train within a test, and packed batches for it. */

import { createHash } from "node:crypto";
import { shuffled, streamKeys } from "../../src/base/random.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { presets } from "../../src/model/presets.ts";

export const tinyConfig: ModelConfig = {
  ...presets.nano,
  vocabularySize: 61,
  hiddenSize: 32,
  intermediateSize: 24,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  numExperts: 4,
  maxPositionEmbeddings: 64,
  initializerRange: 0.2,
};

/** A hash of the exact bits, in place of arrays whose difference would take minutes to print. */
export function bitsOf(...arrays: (Float32Array | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of arrays) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest("hex");
}

/** A packed batch of documents of these lengths, of random tokens; every seventh target does not count. */
export function packedBatch(lengths: readonly number[], seed: number, vocabularySize = tinyConfig.vocabularySize) {
  const length = lengths.reduce((sum, one) => sum + one, 0);
  const random = shuffled(length * 2, streamKeys(seed, "batch"));
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, one) => sum + one, 0));
  return {
    tokens: Int32Array.from({ length }, (_, i) => random[i]! % vocabularySize),
    targets: Int32Array.from({ length }, (_, i) => (i % 7 === 3 ? -1 : random[length + i]! % vocabularySize)),
    positions: Int32Array.from(lengths.flatMap((one) => Array.from({ length: one }, (_, i) => i))),
    sequences: Int32Array.from(starts.flatMap((start, i) => [start, lengths[i]!])),
  };
}
