/**
 * Low-rank adapters of attention's projections (LoRA: Hu et al., 2021), as the official code offers. All other weights are frozen:
 * the optimizer keeps moments of the adapters alone, and no gradients of matrices are made.
 */
import { streamKeys } from "../base/random.ts";
import { axpy } from "../kernels/bindings/optim.ts";
import { fillNormal } from "../model/initialize.ts";
import type { TrainedParameter, Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { multiply } from "../tensor/ops/product.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { loraProjections } from "./options.ts";

export type LoraSettings = {
  rank: number;
  /** Adapters are scaled by alpha / rank. */
  alpha: number;
  projections: readonly (typeof loraProjections)[number][];
  seed: number;
};

export class Adapters implements Disposable {
  readonly #model: Transformer;
  readonly #adapted: Parameter[];

  /** Freezes the model and joins adapters that change nothing yet: `up` is zero. */
  constructor(model: Transformer, { rank, alpha, projections, seed }: LoraSettings) {
    this.#model = model;
    for (const parameter of model.parameters.values()) parameter.isFrozen = parameter.kind === "matrix";
    const pattern = new RegExp(`\\.self_attn\\.(?:${projections.join("|")})_proj\\.weight$`);
    this.#adapted = [...model.parameters.values()].filter(({ name }) => pattern.test(name));
    for (const parameter of this.#adapted) {
      const prefix = parameter.name.replace(/\.weight$/, "");
      const down = new Parameter(`${prefix}.lora_A.weight`, [rank, parameter.in], "matrix");
      const up = new Parameter(`${prefix}.lora_B.weight`, [parameter.out, rank], "matrix");
      const values = new Float32Array(down.weight.elements);
      fillNormal(values, 1 / Math.sqrt(parameter.in), streamKeys(seed, "adapter", down.name));
      down.weight.setFloats(values);
      parameter.adapter = { down, up, scale: alpha / rank };
    }
  }

  trainedParameters(): TrainedParameter[] {
    return this.#adapted.flatMap(({ adapter }) =>
      adapter ? [adapter.down, adapter.up].map((parameter) => ({ parameter, role: "attention" as const })) : [],
    );
  }

  /** Adds every adapter to its matrix, in f32, and takes it away. The model is then as any other. */
  merge(execution: Execution): void {
    for (const parameter of this.#adapted) {
      const { adapter, weight } = parameter;
      if (!adapter) continue;
      const { down, up, scale } = adapter;
      using scaled = execution.arena.borrow("f32", ...up.weight.shape);
      const shared = { pool: execution.pool, sourceDtype: 0, destinationDtype: 0, count: up.weight.elements };
      axpy({ ...shared, source: up.weight, destination: scaled.tensor, scale, accumulate: 0 });
      multiply(execution, "backward", scaled.tensor, down, weight, { addend: weight });
      parameter.forgetPacked();
    }
    execution.arena.reset();
    this[Symbol.dispose]();
  }

  /** Takes the adapters away and thaws the model. */
  [Symbol.dispose](): void {
    for (const parameter of this.#adapted) {
      parameter.adapter?.down[Symbol.dispose]();
      parameter.adapter?.up[Symbol.dispose]();
      parameter.adapter = undefined;
    }
    for (const parameter of this.#model.parameters.values()) parameter.isFrozen = false;
  }
}
