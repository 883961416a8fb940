import type { RoutingReport } from "../tensor/ops/router.ts";

/** Which experts took a row of a step, layer by layer. Nothing is copied out of the step's memory until somebody asks. */
export class ExpertReader {
  readonly #routings: readonly RoutingReport[];
  #layers: { topK: number; experts: number; selected: Int32Array; probabilities: Float32Array }[] | undefined;

  /** @param routings one a layer, with probabilities if `at` will be called. */
  constructor(routings: readonly RoutingReport[]) {
    this.#routings = routings;
  }

  /** [layers][topK] each. */
  at(row: number): { experts: number[][]; probabilities: number[][] } {
    this.#layers ??= this.#routings.map(({ topK, selected, load, keptProbabilities }) => {
      if (!keptProbabilities) throw new Error("this step has kept no probabilities");
      const probabilities = keptProbabilities.toFloat32Array();
      return { topK, experts: load.elements, selected: selected.toInt32Array(), probabilities };
    });
    const experts = this.#layers.map(({ topK, selected }) =>
      Array.from(selected.subarray(row * topK, (row + 1) * topK)),
    );
    const probabilities = this.#layers.map((layer, at) =>
      experts[at]!.map((expert) => layer.probabilities[row * layer.experts + expert]!),
    );
    return { experts, probabilities };
  }
}
