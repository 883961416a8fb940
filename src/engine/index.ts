/**
 * Text from a model. `loadEngine` takes a model by its name and gives texts token by token. `startEngine` serves a model directory
 * from a thread of its own, many requests at once; `LocalEngine` does on this thread, with a model that `loadModel` of
 * "rookery/interop" gives; `generate` writes one text.
 */
export { Execution } from "../tensor/execution.ts";
export { Engine, type EngineOutput, type RunnableModel } from "./engine.ts";
export {
  type FinishReason,
  type GeneratedPiece,
  type GenerateOptions,
  Generation,
  type GenerationStep,
  generate,
} from "./generate.ts";
export { LoadedEngine, loadEngine, type WriteOptions, type WrittenPiece } from "./load-engine.ts";
export { LocalEngine } from "./local-engine.ts";
export {
  type EngineOptions,
  type EngineOptionsInput,
  type EngineSettings,
  engineOptionsSchema,
  settleOptions,
} from "./options.ts";
export type {
  EngineEvent,
  EngineHandle,
  EngineInfo,
  EngineRequest,
  EngineStats,
  Grammar,
  KeyValueCacheType,
  TokenLogprobs,
} from "./request.ts";
export type { SamplingSettings } from "./sampling-settings.ts";
export { stopTokenIds } from "./stop-tokens.ts";
export type { StartedEngine } from "./worker-engine.ts";
export { startEngine } from "./worker-engine.ts";
