/**
 * Serving an engine over HTTP: `createApp` makes a Hono app of it, `listen` puts an app on a port, and
 * `serveModel` does all that `rookery serve` does.
 * @module
 */
export { type AppOptions, createApp } from "./app.ts";
export type { Limits } from "./limits.ts";
export { type Listening, type ListenOptions, listen } from "./listen.ts";
export { createPages, type PagesOptions } from "./pages.ts";
export { type ServeModelOptions, type ServeModelResult, serveModel } from "./serve-model.ts";
export type { ServedModel } from "./served-model.ts";
export { createTrainingRoutes, type TrainingOptions } from "./training.ts";
export type { TrainingSnapshot, TrainingUpdate } from "./training-wire.ts";
