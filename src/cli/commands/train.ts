import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { type Dashboard, startDashboard } from "../../serve/dashboard.ts";
import type { TrainingEvent } from "../../train/events.ts";
import { trainOptionsSchema } from "../../train/options.ts";
import { train } from "../../train/train.ts";
import { defineCommand } from "../command.ts";
import { modelName, showTraining, type TrainingOnlyEvent } from "../training-display.ts";

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;

const usualPort = 8081;

const schema = trainOptionsSchema.extend({
  dashboard: z
    .union([z.boolean(), z.int().min(0).max(65_535)])
    .default(false)
    .describe(`show the run in a browser, on http://127.0.0.1:PORT/training (${usualPort}, or any that is free)`)
    .meta({ valueName: "PORT" }),
});

/** The training page, or a warning: a run is worth more than its page. */
async function openDashboard(
  runFolder: string,
  asked: true | number,
  onEvent: CommandContext["onEvent"],
): Promise<Dashboard | undefined> {
  const ports = asked === true ? [usualPort, 0] : [asked];
  let failure: unknown;
  for (const port of ports) {
    try {
      const dashboard = await startDashboard({ runFolder, host: "127.0.0.1", port });
      onEvent?.({ type: "note", message: `training page: ${dashboard.url}` });
      return dashboard;
    } catch (error) {
      failure = error;
    }
  }
  if (!(failure instanceof RookeryError)) throw failure;
  onEvent?.({ type: "warning", message: `no training page: ${failure.message}; ${failure.hint}` });
  return undefined;
}

async function run({ dashboard: asked, ...options }: z.output<typeof schema>, context: CommandContext<TrainingEvent>) {
  let dashboard: Promise<Dashboard | undefined> | undefined;
  const onEvent = (event: TrainingEvent) => {
    context.onEvent?.(event);
    if (event.type === "run" && asked !== false) dashboard = openDashboard(event.path, asked, context.onEvent);
  };
  try {
    return await train(options, { ...context, onEvent });
  } finally {
    await (await dashboard)?.close();
  }
}

export const command = defineCommand({
  schema,
  alternatives: [["minutes", "tokens", "steps"]],
  examples: [
    { line: "rookery train --minutes 5", purpose: "the nano model on the built-in starter texts" },
    { line: "rookery train --data notes/ --minutes 20 --name notes", purpose: "on a folder of your own texts" },
    { line: "rookery train --resume --name notes", purpose: "go on after Ctrl-C, a crash or a full disk" },
    { line: "rookery train --minutes 20 --dashboard", purpose: "and watch it in a browser" },
    { line: "rookery train --config runs/notes/config.json --name again", purpose: "the same run once more" },
  ],
  run: (options, context) => run(options, context as CommandContext<TrainingEvent>),
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
