/**
 * Training from a program.
 *
 * @example A small model on a folder of texts
 * import { train } from "rookery/train";
 * const { modelFolder, bitsPerByte } = await train({ data: ["texts"], minutes: 5 }, { onEvent: console.log });
 */
export type { TrainingEvent, TrainingStepEvent } from "./events.ts";
export { type TrainOptions, type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
export type { TrainResult } from "./run.ts";
export { train } from "./train.ts";
