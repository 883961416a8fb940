import type { CommandContext } from "../../base/events.ts";
import type { TrainingEvent } from "../../train/events.ts";
import { trainOptionsSchema } from "../../train/options.ts";
import type { TrainResult } from "../../train/run.ts";
import { train } from "../../train/train.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { modelName, showTraining, type TrainingOnlyEvent } from "../training-display.ts";
import { type SampleResult, sample, sampleSchema } from "./sample.ts";

const startSchema = trainOptionsSchema.pick({
  preset: true,
  data: true,
  name: true,
  minutes: true,
  steps: true,
  seed: true,
  threads: true,
  runsFolder: true,
});

type StartResult = { training: TrainResult; samples: SampleResult["samples"] };

const openings = ["The President", "The whale", "water: "];

export const command = defineCommand({
  schema: startSchema,
  examples: [
    { line: "rookery start", purpose: "about five minutes on the built-in texts" },
    { line: "rookery start --minutes 1", purpose: "a first impression" },
    { line: "rookery start --data notes/", purpose: "on your own texts" },
  ],
  run: start,
  describe: ({ training }) => [
    "",
    training.bitsPerByte === null
      ? "nothing was held out to measure on"
      : `held-out text: ${training.bitsPerByte.toFixed(4)} bits per byte, after ${training.tokens} tokens at ${Math.round(training.tokensPerSecond)} tokens/s`,
    `run:   ${training.runFolder}`,
    `model: ${training.modelFolder} (a Hugging Face directory)`,
    "next:",
    `  npx rookery sample ${modelName(training)} --prompt "Once upon a time"`,
    `  npx rookery info ${modelName(training)}`,
    "  npx rookery train --data FOLDER --minutes 20     on your own texts",
  ],
  showEvents: (display) => showTraining(display) as (event: TrainingOnlyEvent) => void,
});

async function start(
  options: ReturnType<typeof startSchema.parse>,
  context: CommandContext<TrainingEvent>,
  io: CommandIo,
): Promise<StartResult> {
  const training = await train(options, context);
  const samples: SampleResult["samples"] = [];
  for (const [index, prompt] of openings.entries()) {
    io.write(`\n--- sample ${index + 1} of ${openings.length}\n`);
    const settings = sampleSchema.parse({
      model: training.modelFolder,
      prompt,
      maxTokens: 80,
      seed: index,
      threads: options.threads,
    });
    const { samples: written } = await sample(settings, { signal: context.signal, onEvent: undefined }, io);
    samples.push(...written);
  }
  return { training, samples };
}
