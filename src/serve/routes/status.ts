import { unavailable } from "../errors.ts";
import { metricsContentType } from "../metrics.ts";
import type { ServeContext, Service } from "../service.ts";

/** GET /health: the process answers. The one route that asks for no key. */
export function health(_: Service, context: ServeContext): Response {
  return context.json({ status: "ok" });
}

/** GET /ready: whether new work is taken. An engine that has stopped answers with an error, which is a 503. */
export async function ready(service: Service, context: ServeContext): Promise<Response> {
  if (service.isDraining) throw unavailable("the server is shutting down");
  await service.engine.stats();
  return context.json({ status: "ready" });
}

/** GET /metrics, for Prometheus. */
export async function metrics(service: Service, context: ServeContext): Promise<Response> {
  const { engine } = service;
  const text = service.metrics.expose(engine.info, await engine.stats(), service.inFlight);
  return context.body(text, 200, { "Content-Type": metricsContentType });
}
