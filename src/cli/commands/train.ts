import type { TrainingEvent } from "../../train/events.ts";
import { trainOptionsSchema } from "../../train/options.ts";
import { train } from "../../train/train.ts";
import { defineCommand } from "../command.ts";
import { modelName, showTraining, type TrainingOnlyEvent } from "../training-display.ts";

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;

export const command = defineCommand({
  schema: trainOptionsSchema,
  alternatives: [["minutes", "tokens", "steps"]],
  examples: [
    { line: "rookery train --minutes 5", purpose: "the nano model on the built-in starter texts" },
    { line: "rookery train --data notes/ --minutes 20 --name notes", purpose: "on a folder of your own texts" },
    { line: "rookery train --resume --name notes", purpose: "go on after Ctrl-C, a crash or a full disk" },
    { line: "rookery train --config runs/notes/config.json --name again", purpose: "the same run once more" },
  ],
  run: (options, context) => train(options, context as { onEvent?: (event: TrainingEvent) => void }),
  describe: (result) => [
    `${result.tokens} tokens in ${result.steps} steps, ${Math.round(result.tokensPerSecond)} tokens/s`,
    result.bitsPerByte === null
      ? "nothing was held out"
      : `held-out text: ${result.bitsPerByte.toFixed(4)} bits per byte`,
    `memory: ${gigabytes(result.peakMemoryBytes)} at most, ${gigabytes(result.predictedMemoryBytes)} predicted`,
    `model: ${result.modelFolder}`,
    `next: rookery sample ${modelName(result)} --prompt "Once"`,
  ],
  showEvents: (display) => showTraining(display) as (event: TrainingOnlyEvent) => void,
});
