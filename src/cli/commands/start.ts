import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { type RecipeEvent, type RecipeResult, recipeOptionsSchema, runRecipe } from "../recipe.ts";
import { type StageOnlyEvent, showStage } from "../stage-display.ts";
import { alignColumns, formatDuration, oneLine } from "../text.ts";
import { showTraining, type TrainingOnlyEvent } from "../training-display.ts";
import { serve, serveSchema } from "./serve.ts";

const startSchema = z.strictObject({
  ...recipeOptionsSchema.shape,
  serve: z.boolean().default(true).describe("then serve the model for a browser, where somebody sits at a terminal"),
  port: serveSchema.shape.port,
});

export const command = defineCommand({
  schema: startSchema,
  examples: [
    { line: "rookery start", purpose: "from texts to a model that answers, in about ten minutes" },
    { line: "rookery start --quick", purpose: "a first impression" },
    { line: "rookery start --data notes/ --minutes 60", purpose: "on your own texts, and for longer" },
    { line: "rookery start --resume --name start-1", purpose: "go on after Ctrl-C or a crash" },
  ],
  run: start,
  describe: (result) => ["", `all done in ${formatDuration(result.seconds)}`],
  showEvents: (display) => {
    const [training, stage] = [showTraining(display), showStage(display)];
    return (event: TrainingOnlyEvent | StageOnlyEvent) => {
      training(event as TrainingOnlyEvent);
      // both say where a checkpoint is
      if (event.type !== "checkpoint") stage(event as StageOnlyEvent);
    };
  },
});

async function start(
  { serve: serves, port, ...options }: z.output<typeof startSchema>,
  context: CommandContext<RecipeEvent>,
  io: CommandIo,
): Promise<RecipeResult> {
  const result = await runRecipe(options, context);
  for (const line of summary(result)) io.write(`${line}\n`);
  if (serves && io.terminal) {
    io.write("\nserving it; Ctrl-C ends that\n");
    await serve(
      serveSchema.parse({ model: `${result.name}-instruct`, runsFolder: options.runsFolder, port }),
      context,
      io,
    );
  } else {
    io.write(`\nto talk to it:\n  npx rookery chat ${nameOf(result, options.runsFolder)}\n`);
    io.write(`  npx rookery serve ${nameOf(result, options.runsFolder)}     then open http://127.0.0.1:${port}\n`);
  }
  return result;
}

const nameOf = ({ name }: RecipeResult, runsFolder: string) =>
  runsFolder === "runs" ? `${name}-instruct` : `${name}-instruct --runs-folder ${runsFolder}`;

const percent = (share: number | undefined) => (share === undefined ? "-" : `${(100 * share).toFixed(1)}%`);

/** What each stage has changed, what the models write, and where they lie. */
function summary({
  pretraining,
  longContext,
  sft,
  reward,
  dpo,
  scores,
  bitsPerByte,
  samples,
  releases,
}: RecipeResult): string[] {
  const row = (what: string, updates: string, stage: string) => [
    what,
    updates,
    ...["test", "unseen"].map((which) => percent(scores[`${stage} ${which}`]?.macroExactMatch)),
    bits(bitsPerByte[stage]),
    "",
  ];
  const ranks = `ranks ${percent(reward.figures.heldOutAccuracy ?? undefined)} of held-out pairs rightly`;
  return [
    "",
    ...alignColumns([
      ["stage", "updates", "right answers", "of unseen families", "bits per byte", ""],
      row("pretrained, shown 4 examples", String(pretraining.steps + longContext.steps), "pretrained"),
      row("fine-tuned (SFT)", String(sft.steps), "sft"),
      ["reward model", String(reward.steps), "", "", "", ranks],
      row("aligned (DPO)", String(dpo.steps), "instruct"),
      row("aligned, in FP8", "", "instruct-fp8"),
    ]),
    "bits per byte: of held-out text of pretraining, the same for every stage",
    "",
    "what they write:",
    ...samples.map(({ model, prompt, text, expected }) => {
      const right = expected === undefined ? "" : ` (right: ${oneLine(expected)})`;
      return `  ${model.padEnd(12)}${oneLine(prompt)} → ${oneLine(text).trim() || "(nothing)"}${right}`;
    }),
    "",
    "models, each a Hugging Face directory with its card:",
    `  pretrained    ${releases.pretrained}`,
    `  instruct      ${releases.instruct}`,
    `  instruct-FP8  ${releases.instructFp8}`,
  ];
}

const bits = (bitsPerByte: number | null | undefined) =>
  bitsPerByte === null || bitsPerByte === undefined ? "-" : bitsPerByte.toFixed(4);
