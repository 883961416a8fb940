import { reward } from "../../align/align.ts";
import { rewardOptionsSchema } from "../../align/options.ts";
import type { StageContext } from "../../align/stage.ts";
import { defineCommand } from "../command.ts";
import { describeStage, type StageOnlyEvent, showStage } from "../stage-display.ts";

export const command = defineCommand({
  schema: rewardOptionsSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery reward sft-1 --data pairs.jsonl", purpose: "a model that scores answers" },
    { line: "rookery reward --resume --name reward-1", purpose: "go on after Ctrl-C or a crash" },
  ],
  run: (options, context) => reward(options, context as StageContext),
  describe: describeStage,
  showEvents: (display) => showStage(display) as (event: StageOnlyEvent) => void,
});
