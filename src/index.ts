/**
 * The public face of Rookery: what most programs need, from texts to a model that answers. The rooms have more:
 * "rookery/train", "/align", "/engine", "/serve", "/interop", "/eval", "/synth", "/scaling". Nothing here prints or reads the
 * environment; each long function takes `(options, { signal, onEvent })` and throws `RookeryError` for what its caller can mend.
 * What is exported here and there, and nothing else, is kept stable; test/package.test.ts holds the list of names.
 *
 * @example Train on a folder of texts, and let the model write
 * import { loadEngine, train } from "rookery";
 * const { modelFolder } = await train({ data: ["notes"], minutes: 5 });
 * await using engine = await loadEngine(modelFolder);
 * for await (const { text } of engine.write("Once upon")) process.stdout.write(text);
 *
 * @example What a model would cost
 * import { account, presets } from "rookery";
 * const { parameters, kvCache } = account({ ...presets.nano, numExperts: 16 });
 */
export { type ErrorCode, type ExitCode, errorCodes, exitCodes, RookeryError } from "./base/errors.ts";
export type { CommandContext, RookeryEvent } from "./base/events.ts";
export { rookeryVersion } from "./base/version.ts";
export {
  type DocumentFlag,
  type DocumentKind,
  type DocumentSection,
  type DocumentTable,
  documentText,
  type SourceDocument,
} from "./data/documents/document.ts";
export { type DocumentLimits, DocumentReader, readDocument } from "./data/documents/read.ts";
export { type DataReport, type InspectOptions, inspectData } from "./data/inspect.ts";
export { type DataOptions, type DataOptionsInput, dataOptionsSchema } from "./data/options.ts";
export { type LoadedEngine, loadEngine, type WriteOptions, type WrittenPiece } from "./engine/load-engine.ts";
export { type Accounting, account } from "./model/accounting.ts";
export { type ModelConfig, modelConfigSchema } from "./model/config.ts";
export { type PresetName, presets } from "./model/presets.ts";
export { type QuantizeOptionsInput, quantize, quantizeOptionsSchema, type Release } from "./quant/release.ts";
export { type Plan, plan } from "./scaling/plan.ts";
export { type PlanOptionsInput, planOptionsSchema } from "./scaling/plan-options.ts";
export { type AppOptions, createApp } from "./serve/app.ts";
export type { ChatMessage } from "./text/chat-template.ts";
export { Tokenizer } from "./text/tokenizer.ts";
export type { TrainingEvent, TrainingStepEvent } from "./train/events.ts";
export { type TrainOptions, type TrainOptionsInput, trainOptionsSchema } from "./train/options.ts";
export type { TrainResult } from "./train/run.ts";
export { train } from "./train/train.ts";
