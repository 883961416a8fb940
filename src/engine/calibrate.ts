/** What keys and values are divided by before a cache keeps them in 8 bits. */
import { below, streamKeys } from "../base/random.ts";
import { type Attend, PackedAttention } from "../model/attention.ts";
import { numKeyValueGroups } from "../model/config.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CacheScales } from "./pages.ts";

const calibrationTokens = 512;
/** The largest number seen becomes this: numbers up to eight times as large still fit the 448 of E4M3. */
const largestSeen = 56;

/** Attention within one text that remembers the largest magnitudes of each group. */
class MeasuringAttention implements Attend {
  readonly #inner: Attend;
  readonly largest: { key: number; value: number }[] = [];

  constructor(inner: Attend) {
    this.#inner = inner;
  }

  store(group: number, key: Tensor, value: Tensor): void {
    this.largest[group] = { key: largestOf(key), value: largestOf(value) };
    this.#inner.store(group, key, value);
  }

  attend(group: number, query: Tensor): Tensor {
    return this.#inner.attend(group, query);
  }
}

/**
 * A scale a group of layers for its values, and for its keys without QK-norm; normed keys are of one size and need none. They
 * come from a text of random tokens, always the same, so that the same weights give the same scales.
 */
export function calibrateScales({ execution, model }: { execution: Execution; model: Transformer }): CacheScales {
  const { config } = model;
  const { arena } = execution;
  const count = Math.min(calibrationTokens, config.maxPositionEmbeddings);
  const keys = streamKeys(0, "calibration of the cache");
  try {
    const sequences = arena.integers(Int32Array.of(0, count, 0, count), 1, 4);
    const attend = new MeasuringAttention(new PackedAttention(execution, config, sequences));
    const input = {
      tokens: arena.integers(Int32Array.from({ length: count }, (_, at) => below(config.vocabularySize, keys, at))),
      positions: arena.integers(Int32Array.from({ length: count }, (_, at) => at)),
    };
    model.forward(execution, input, attend, dropless);
    return Array.from({ length: numKeyValueGroups(config) }, (_, group) => {
      const { key, value } = attend.largest[group]!;
      return { key: config.useQkNorm ? 1 : scaleFor(key), value: scaleFor(value) };
    });
  } finally {
    arena.reset();
  }
}

/** A power of two, so that dividing rounds nothing; 1 where there is nothing to go by. */
function scaleFor(largest: number): number {
  return largest > 0 && Number.isFinite(largest) ? 2 ** Math.ceil(Math.log2(largest / largestSeen)) : 1;
}

function largestOf(tensor: Tensor): number {
  let largest = 0;
  for (const value of tensor.toFloat32Array()) largest = Math.max(largest, Math.abs(value));
  return largest;
}
