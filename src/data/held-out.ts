/** Packed batches of the held-out documents, with what bits per byte needs. */
import { shuffled, streamKeys } from "../base/random.ts";
import { type PackedBatch, type Piece, packBatch, type TokenSource } from "./packing.ts";

export type HeldOutBatch = PackedBatch & {
  /**
   * [T] UTF-8 bytes that each target stands for; 0 for special tokens and where there is no target. Bits per byte is
   * the summed loss of the targets with bytes, over ln 2, over their bytes: so it does not depend on the tokenizer.
   */
  targetBytes: Int32Array;
  /** Sum of `targetBytes`. */
  bytes: number;
};

export type HeldOut = { batches: HeldOutBatch[]; documents: number; tokens: number; bytes: number };

export type HeldOutOptions = {
  sources: readonly TokenSource[];
  rows: number;
  sequenceLength: number;
  /** [vocabularySize] UTF-8 bytes of each token, 0 for special ones. */
  tokenBytes: ArrayLike<number>;
  /** Fills the end of the last batch, without targets. */
  padToken: number;
  /** Stops taking documents at about this many tokens; the choice is the same each time. Default 2²⁰. */
  maxTokens?: number | undefined;
};

/** The same batches for the same shards, whatever the run's seed: figures of different runs can be compared. */
export function heldOutBatches(options: HeldOutOptions): HeldOut {
  const { sources, rows, sequenceLength, tokenBytes } = options;
  const maxTokens = options.maxTokens ?? 2 ** 20;
  const all = sources.flatMap(({ shard }) =>
    Array.from({ length: shard.documents }, (_, document) => ({ shard, document })),
  );
  const pieces: Piece[] = [];
  let tokens = 0;
  for (const index of shuffled(all.length, streamKeys(0, "held-out"))) {
    if (tokens >= maxTokens) break;
    const { shard, document } = all[index]!;
    const { start, end } = shard.bounds(document);
    pieces.push({ shard, start, end });
    tokens += end - start;
  }
  const documents = pieces.length;
  const next = (): Piece | null => {
    while (pieces[0] && pieces[0].start >= pieces[0].end) pieces.shift();
    return pieces[0] ?? null;
  };
  const batches: HeldOutBatch[] = [];
  let total = 0;
  while (next() !== null) {
    const batch = packBatch(rows, sequenceLength, next, options.padToken);
    const targetBytes = batch.targets.map((target) => (target < 0 ? 0 : (tokenBytes[target] ?? 0)));
    const bytes = targetBytes.reduce((sum, value) => sum + value, 0);
    total += bytes;
    batches.push({ ...batch, targetBytes, bytes });
  }
  return { batches, documents, tokens, bytes: total };
}
