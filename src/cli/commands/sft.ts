import { sft } from "../../align/align.ts";
import { sftOptionsSchema } from "../../align/options.ts";
import type { StageContext } from "../../align/stage.ts";
import { defineCommand } from "../command.ts";
import { describeStage, type StageOnlyEvent, showStage } from "../stage-display.ts";

export const command = defineCommand({
  schema: sftOptionsSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery sft nano-1 --data chats.jsonl", purpose: "three epochs of conversations" },
    {
      line: "rookery sft nano-1 --data tasks/train.jsonl --learning-rate 1e-3 --name tasks",
      purpose: "a small model wants larger steps",
    },
    { line: "rookery sft --resume --name tasks", purpose: "go on after Ctrl-C or a crash" },
  ],
  run: (options, context) => sft(options, context as StageContext),
  describe: describeStage,
  showEvents: (display) => showStage(display) as (event: StageOnlyEvent) => void,
});
