/** AdamW over parameters, with the specialised experts at a rate of their own (report §2.2.3). */
import { adamw, sumOfSquares, sumOfSquaresScratchBytes } from "../kernels/bindings/optim.ts";
import type { ParameterRole } from "../model/parameters.ts";
import type { TrainedParameter } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { type ComputeType, Tensor } from "../tensor/tensor.ts";

export type AdamWSettings = {
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** What the first moment is kept in; bf16 is rounded to nearest even. The second is f32: its steps are too small for bf16. */
  firstMomentType?: ComputeType;
};

type State = { parameter: Parameter; role: ParameterRole; m: Tensor; v: Tensor; dispose: () => void };

export class AdamW implements Disposable {
  readonly #settings: AdamWSettings;
  readonly #states: State[];
  #steps = 0;

  /** @param model whose parameters are trained: all of a model, or what was added to one. */
  constructor(model: { trainedParameters(): readonly TrainedParameter[] }, settings: AdamWSettings) {
    this.#settings = settings;
    const { firstMomentType = "f32" } = settings;
    this.#states = model.trainedParameters().map(({ parameter, role }) => {
      const { shape } = parameter;
      const m = Tensor.persistent(firstMomentType, shape);
      const v = Tensor.persistent("f32", shape);
      const dispose = () => {
        m.memory[Symbol.dispose]();
        v.memory[Symbol.dispose]();
      };
      return { parameter, role, m: m.tensor, v: v.tensor, dispose };
    });
  }

  /** Updates made so far; the bias correction counts them. */
  get steps(): number {
    return this.#steps;
  }

  /** Both moments of every parameter, named for a checkpoint. */
  stateTensors(): { name: string; tensor: Tensor }[] {
    return this.#states.flatMap(({ parameter, m, v }) => [
      { name: `optimizer.m.${parameter.name}`, tensor: m },
      { name: `optimizer.v.${parameter.name}`, tensor: v },
    ]);
  }

  /** Continues after `steps` updates; the moments are written through `stateTensors`. */
  restoreSteps(steps: number): void {
    this.#steps = steps;
  }

  /** Back to the state before the first update. */
  reset(): void {
    this.#steps = 0;
    for (const { m, v } of this.#states) {
      m.zero();
      v.zero();
    }
  }

  /** The 2-norm of all gradients together. Not finite if any gradient is not. */
  gradientNorm(execution: Execution): number {
    let sum = 0;
    for (const { parameter } of this.#states) {
      if (!parameter.hasGradientSquares) sumGradientSquares(execution, parameter);
      sum += parameter.gradientSquares.toFloat32Array()[0]!;
    }
    return Math.sqrt(sum);
  }

  /**
   * One update. @param gradientScale multiplies every gradient first (clipping).
   * @param expertLearningRate the rate of the specialised experts; all else takes `learningRate`. Norms do not decay.
   */
  update(
    execution: Execution,
    rates: { learningRate: number; expertLearningRate: number; gradientScale: number },
  ): void {
    this.#steps++;
    const { beta1, beta2, epsilon, weightDecay } = this.#settings;
    const biasCorrection1 = 1 - beta1 ** this.#steps;
    const biasCorrection2 = 1 - beta2 ** this.#steps;
    for (const { parameter, role, m, v } of this.#states) {
      parameter.forgetPacked();
      adamw({
        pool: execution.pool,
        weight: parameter.weight,
        gradient: parameter.gradient,
        mDtype: m.dtypeCode,
        m,
        v,
        count: parameter.weight.elements,
        learningRate: role === "expert" ? rates.expertLearningRate : rates.learningRate,
        beta1,
        beta2,
        eps: epsilon,
        decay: role === "norm" ? 0 : weightDecay,
        biasCorrection1,
        biasCorrection2,
        gradientScale: rates.gradientScale,
      });
    }
  }

  [Symbol.dispose](): void {
    for (const state of this.#states) state.dispose();
  }
}

/** For a gradient that several kernels had a part in, or one that leaves no squares. */
function sumGradientSquares(execution: Execution, parameter: Parameter): void {
  const values = parameter.gradient;
  const count = values.elements;
  using scratch = execution.arena.scratch(sumOfSquaresScratchBytes({ count }));
  const result = parameter.gradientSquares;
  sumOfSquares({ pool: execution.pool, values, count, result, accumulate: 0, scratch: scratch.tensor });
}
