/**
 * Questions to models: benchmarks in their published formats, own tasks, texts, and comparisons.
 *
 * @example A benchmark, from a program
 * import { evaluate } from "rookery/eval";
 * const { tasks } = await evaluate({ model: "models/nano", tasks: ["hellaswag"], data: "sets" });
 */
export {
  type CacheCompression,
  type CacheCompressionOptions,
  type CacheCompressionOptionsInput,
  cacheCompressionOptionsSchema,
  compareCaches,
} from "./cache-compression.ts";
export { compareResults, type EvalComparison, evalCompareOptionsSchema } from "./compare.ts";
export type { EvalModel } from "./model.ts";
export { type EvalRunOptions, type EvalRunOptionsInput, evalRunOptionsSchema } from "./options.ts";
export { readItems, readSummary } from "./results.ts";
export { type EvalEnvironment, evaluate } from "./run.ts";
export type { EvalSummary, ItemRow } from "./summary.ts";
export { taskNames } from "./tasks/catalog.ts";
export {
  type ChoiceTask,
  defineTask,
  type GenerateTask,
  type Scorer,
  type TaskDefinition,
} from "./tasks/definition.ts";
