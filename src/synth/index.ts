/**
 * Synthetic conversations in four steps: instructions from seeds, their evolution, answers, filters.
 *
 * @example
 * import { synthesize, synthOptionsSchema } from "rookery/synth";
 * const options = synthOptionsSchema.parse({ tasks: { records: 1000 }, name: "tasks" });
 * const { dataFile, kept } = await synthesize(options, { onEvent: console.log });
 */
export { type SynthOptions, type SynthOptionsInput, synthOptionsSchema } from "./options.ts";
export type { SynthAnswer, SynthRecord } from "./record.ts";
export { type RefilterOptions, type RefilterOptionsInput, refilter, refilterOptionsSchema } from "./refilter.ts";
export type { SynthContext } from "./roles.ts";
export { readRecords } from "./run-files.ts";
export type { SynthResult } from "./summary.ts";
export { synthesize } from "./synthesize.ts";
