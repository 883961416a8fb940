/** Models as files: Hugging Face directories in the official layout and in transformers' `hunyuan_v1_moe`. */
export { type LoadedModel, loadModel, loadTransformer } from "./load.ts";
export { type ModelDirectory, readModelDirectory } from "./model-directory.ts";
export { type ResolvedModel, resolveModel } from "./resolve.ts";
