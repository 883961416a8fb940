import { dpo } from "../../align/align.ts";
import { dpoOptionsSchema } from "../../align/options.ts";
import type { StageContext } from "../../align/stage.ts";
import { defineCommand } from "../command.ts";
import { describeStage, type StageOnlyEvent, showStage } from "../stage-display.ts";

export const command = defineCommand({
  schema: dpoOptionsSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery dpo sft-1 --data pairs.jsonl", purpose: "on pairs from a file alone" },
    {
      line: "rookery dpo sft-1 --data pairs.jsonl --online-share 0.5 --reward-model reward-1",
      purpose: "half of the pairs sampled by the model as it learns",
    },
    { line: "rookery dpo --resume --name dpo-1", purpose: "go on after Ctrl-C or a crash" },
  ],
  run: (options, context) => dpo(options, context as StageContext),
  describe: describeStage,
  showEvents: (display) => showStage(display) as (event: StageOnlyEvent) => void,
});
