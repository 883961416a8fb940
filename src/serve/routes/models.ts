import type { ServeContext, Service } from "../service.ts";

function describeModel({ model, engine }: Service): object {
  const { id, createdSeconds } = model;
  return {
    id,
    object: "model",
    created: createdSeconds,
    owned_by: "rookery",
    root: id,
    parent: null,
    max_model_len: engine.info.maxModelLength,
    rookery: { engine: engine.info },
  };
}

/** GET /v1/models */
export function listModels(service: Service, context: ServeContext): Response {
  return context.json({ object: "list", data: [describeModel(service)] });
}

/** GET /v1/models/{id}, where the id may hold slashes. */
export function getModel(service: Service, context: ServeContext): Response {
  service.checkModel(context.req.param("id"));
  return context.json(describeModel(service));
}
