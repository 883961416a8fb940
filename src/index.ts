/**
 * The public face of Rookery. What is exported here, and nothing else, is kept stable;
 * test/package.test.ts holds the list of names.
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
export { type Accounting, account } from "./model/accounting.ts";
export { type ModelConfig, modelConfigSchema } from "./model/config.ts";
export { type PresetName, presets } from "./model/presets.ts";
export { Tokenizer } from "./text/tokenizer.ts";
