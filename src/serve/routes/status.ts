import { metricsContentType } from "../metrics.ts";
import type { ServeContext, Service } from "../service.ts";

/** GET /health: the process answers. The one route that asks for no key. */
export function health(_: Service, context: ServeContext): Response {
  return context.json({ status: "ok" });
}

/** GET /ready: whether new work is taken. */
export function ready(service: Service, context: ServeContext): Response {
  if (!service.isDraining) return context.json({ status: "ready" });
  return context.json({ status: "draining" }, 503);
}

/** GET /metrics, for Prometheus. */
export async function metrics(service: Service, context: ServeContext): Promise<Response> {
  const { engine } = service;
  const text = service.metrics.expose(engine.info, await engine.stats(), service.inFlight);
  return context.body(text, 200, { "Content-Type": metricsContentType });
}
