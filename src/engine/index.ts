/** Text from a model: `loadModel` of "rookery/interop" gives one, `generate` lets it write. */
export { Execution } from "../tensor/execution.ts";
export {
  type FinishReason,
  type GeneratedPiece,
  type GenerateOptions,
  Generation,
  generate,
  type RunnableModel,
  stopTokenIds,
} from "./generate.ts";
export type { SamplingSettings } from "./sampling-settings.ts";
