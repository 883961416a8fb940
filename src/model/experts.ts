/** The feed-forward half of a layer: the shared expert for every token, the specialised experts for those routed to them. */
import type { Execution } from "../tensor/execution.ts";
import { combine, dispatch } from "../tensor/ops/experts.ts";
import { gatedLinear } from "../tensor/ops/gated-linear.ts";
import { linear } from "../tensor/ops/linear.ts";
import { type Routing, type RoutingReport, reportTensors } from "../tensor/ops/router.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";
import { type RoutingPlan, routeTokens } from "./router.ts";

export type MixtureWeights = {
  router: Parameter;
  /** Gate above up [2 · width, hidden], and down [hidden, width]. */
  shared?: { gateUp: Parameter; down: Parameter };
  /** The same for all experts at once: [experts, 2 · width, hidden] and [experts, hidden, width]. */
  experts: { gateUp: Parameter; down: Parameter };
};

/** residual + shared(x) + Σ gate · expert(x), x [tokens, hidden] normed. */
export function mixtureLayer(
  execution: Execution,
  x: Tensor,
  residual: Tensor,
  weights: MixtureWeights,
  config: ModelConfig,
  layer: number,
  plan: RoutingPlan,
): { out: Tensor; routing: RoutingReport } {
  return execution.arena.scope(
    () => {
      const routing = routeTokens(execution, x, weights.router, config, layer, plan);
      const rows = localExperts(execution, dispatch(execution, x, routing), weights.experts, routing);
      const base = weights.shared ? sharedExpert(execution, x, residual, weights.shared) : residual;
      return { out: combine(execution, base, rows, routing), routing };
    },
    ({ out, routing }) => [out, ...reportTensors(routing)],
  );
}

function sharedExpert(
  execution: Execution,
  x: Tensor,
  residual: Tensor,
  weights: { gateUp: Parameter; down: Parameter },
): Tensor {
  return execution.arena.scope(
    () => gatedLinear(execution, linear(execution, x, weights.gateUp), weights.down, { residual }),
    (out) => [out],
  );
}

/** The experts this process holds (all of them, on one machine), on rows that are sorted by expert. */
function localExperts(
  execution: Execution,
  rows: Tensor,
  weights: { gateUp: Parameter; down: Parameter },
  routing: Routing,
): Tensor {
  const { offsets } = routing;
  return execution.arena.scope(
    () => gatedLinear(execution, linear(execution, rows, weights.gateUp, { offsets }), weights.down, { offsets }),
    (out) => [out],
  );
}
