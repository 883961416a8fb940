/** Models as files: Hugging Face directories in the official layout and in transformers' two, and GGUF files of them. */
export { type ExportedModel, type ExportOptions, exportModel } from "./export.ts";
export { type ExportedGguf, exportGguf } from "./gguf/export.ts";
export { type DirectoryReport, inspectDirectory } from "./inspect.ts";
export { type LoadedModel, loadModel, loadTransformer } from "./load.ts";
export { type ModelDirectory, readModelDirectory } from "./model-directory.ts";
export { type ResolvedModel, resolveModel } from "./resolve.ts";
