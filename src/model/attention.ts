/**
 * Grouped-query attention with keys and values shared by neighbouring layers (GQA + CLA, report §2.2.1).
 *
 * The official order is RoPE, then a norm on each head; each layer of a CLA group has its own key norm. So that the group
 * needs one K only, it holds k̂ = RoPE(k) / rms(RoPE(k)), and the layer's key-norm weight is multiplied into its query:
 * (w_q q̂) · (w_k k̂) = (w_q w_k q̂) · k̂. That is exact, and it is what a cache can keep once a group (interop §1.3).
 */
import type { Execution } from "../tensor/execution.ts";
import { attention } from "../tensor/ops/attention.ts";
import { type Dropout, dropout } from "../tensor/ops/dropout.ts";
import { linear } from "../tensor/ops/linear.ts";
import { type RotaryTable, ropeNorm } from "../tensor/ops/rope.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";

export type AttentionWeights = {
  query: Parameter;
  output: Parameter;
  /** Only in the layer that owns its group's K and V. */
  key?: Parameter;
  value?: Parameter;
  /** Only with QK-norm. */
  queryNorm?: Parameter;
  keyNorm?: Parameter;
};

/** Where the tokens of a pass stand: int32 [tokens], and the table that their angles come from. */
export type Positions = { positions: Tensor; table: RotaryTable };

/**
 * Who answers queries. Training attends within the packed batch; an engine keeps a cache. `store` is called once a CLA group,
 * with k̂ and v [tokens, numKeyValueHeads · headDim], before the group's layers call `attend` with their queries.
 */
export interface Attend {
  store(group: number, key: Tensor, value: Tensor): void;
  attend(group: number, query: Tensor, dropout?: Dropout): Tensor;
}

/** Attention within the sequences of a packed batch, each row seeing its own document up to itself. */
export class PackedAttention implements Attend {
  readonly #execution: Execution;
  readonly #config: ModelConfig;
  readonly #sequences: Tensor;
  #shared: { key: Tensor; value: Tensor } | undefined;

  /** @param sequences int32 [count, 4], as `attention` takes them. */
  constructor(execution: Execution, config: ModelConfig, sequences: Tensor) {
    this.#execution = execution;
    this.#config = config;
    this.#sequences = sequences;
  }

  store(_group: number, key: Tensor, value: Tensor): void {
    this.#shared = { key, value };
  }

  attend(_group: number, query: Tensor, dropout?: Dropout): Tensor {
    if (!this.#shared) throw new Error("no layer has stored keys and values yet");
    return attention(
      this.#execution,
      query,
      this.#shared.key,
      this.#shared.value,
      this.#sequences,
      attentionShape(this.#config),
      dropout,
    );
  }
}

export function attentionShape(config: ModelConfig): { heads: number; keyValueHeads: number; headDim: number } {
  return { heads: config.numAttentionHeads, keyValueHeads: config.numKeyValueHeads, headDim: config.headDim };
}

/** residual + the attention of normed x [tokens, hidden]; `drops` are of its probabilities, and of its output. */
export function attentionLayer(
  execution: Execution,
  x: Tensor,
  residual: Tensor,
  weights: AttentionWeights,
  config: ModelConfig,
  group: number,
  { positions, table }: Positions,
  attend: Attend,
  drops: { probabilities?: Dropout | undefined; hidden?: Dropout | undefined } = {},
): Tensor {
  const rope = { positions, table, normalize: config.useQkNorm, eps: config.rmsNormEps };
  if (weights.key && weights.value) {
    const key = linear(execution, x, weights.key);
    const value = linear(execution, x, weights.value);
    attend.store(group, ropeNorm(execution, key, { ...rope, heads: config.numKeyValueHeads }), value);
  }
  return execution.arena.scope(
    () => {
      const query = ropeNorm(execution, linear(execution, x, weights.query), {
        ...rope,
        heads: config.numAttentionHeads,
        weights: weights.queryNorm && weights.keyNorm ? [weights.queryNorm, weights.keyNorm] : [],
      });
      const attended = attend.attend(group, query, drops.probabilities);
      if (!drops.hidden) return linear(execution, attended, weights.output, { residual });
      return dropout(execution, linear(execution, attended, weights.output), residual, drops.hidden);
    },
    (out) => [out],
  );
}
