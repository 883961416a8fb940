/** The feed-forward half of a layer: the shared expert for every token, the specialised experts for those routed to them. */
import type { Execution } from "../tensor/execution.ts";
import { combine, dispatch } from "../tensor/ops/dispatch.ts";
import { type Dropout, dropout } from "../tensor/ops/dropout.ts";
import { type FeedForwardWeights, feedForward } from "../tensor/ops/feed-forward.ts";
import { type Routing, type RoutingReport, reportTensors } from "../tensor/ops/router.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelConfig } from "./config.ts";
import { type RoutingPlan, routeTokens } from "./router.ts";

export type MixtureWeights = {
  /** Gate above up [2 · width, hidden], and down [hidden, width]. */
  shared?: FeedForwardWeights;
  /** The same for all experts at once: [experts, 2 · width, hidden] and [experts, hidden, width]. None in a dense model. */
  routed?: { router: Parameter; experts: FeedForwardWeights };
};

/** residual + shared(x) + Σ gate · expert(x), x [tokens, hidden] normed; `drop` is of the two terms behind the residual. */
export function mixtureLayer(
  execution: Execution,
  x: Tensor,
  residual: Tensor,
  weights: MixtureWeights,
  config: ModelConfig,
  layer: number,
  plan: RoutingPlan,
  drop?: Dropout,
): { out: Tensor; routing: RoutingReport | undefined } {
  const { routed, shared } = weights;
  const base = () => {
    if (shared) return sharedExpert(execution, x, drop ? null : residual, shared);
    return drop ? zeros(execution, residual) : residual;
  };
  const finish = (out: Tensor) => (drop ? dropout(execution, out, residual, drop) : out);
  return execution.arena.scope(
    () => {
      if (!routed) return { out: finish(base()), routing: undefined };
      const routing = routeTokens(execution, x, routed.router, config, layer, plan);
      const rows = localExperts(execution, dispatch(execution, x, routing), routed.experts, routing);
      return { out: finish(combine(execution, base(), rows, routing)), routing };
    },
    ({ out, routing }) => [out, ...(routing ? reportTensors(routing) : [])],
  );
}

function zeros({ arena }: Execution, like: Tensor): Tensor {
  const tensor = arena.tensor(like.dtype, ...like.shape);
  tensor.zero();
  return tensor;
}

function sharedExpert(execution: Execution, x: Tensor, residual: Tensor | null, weights: FeedForwardWeights): Tensor {
  return execution.arena.scope(
    () => feedForward(execution, x, weights, { residual }),
    (out) => [out],
  );
}

/** The experts this process holds (all of them, on one machine), on rows that are sorted by expert. */
function localExperts(execution: Execution, rows: Tensor, weights: FeedForwardWeights, routing: Routing): Tensor {
  const { offsets } = routing;
  return execution.arena.scope(
    () => feedForward(execution, rows, weights, { offsets }),
    (out) => [out],
  );
}
