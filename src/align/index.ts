/**
 * From a pretrained model to one that answers: SFT, a reward model, and DPO.
 *
 * @example
 * import { sft } from "rookery/align";
 * const { modelFolder } = await sft({ model: "nano-1", data: ["chats.jsonl"] }, { onEvent: console.log });
 */
export { dpo, reward, sft } from "./align.ts";
export { type CleanOptions, type CleanOptionsInput, type CleanResult, clean, cleanOptionsSchema } from "./clean.ts";
export {
  type DpoOptions,
  type DpoOptionsInput,
  dpoOptionsSchema,
  type RewardOptions,
  type RewardOptionsInput,
  rewardOptionsSchema,
  type SftOptions,
  type SftOptionsInput,
  sftOptionsSchema,
} from "./options.ts";
export type { Figures, StageEvent, StageResult } from "./stage.ts";
