/** What a model says of the text that a run has held out: the run's own model, or one that a later stage has made of it. */
import path from "node:path";
import { resolveOptions } from "../base/config.ts";
import type { CommandContext } from "../base/events.ts";
import { loadModel } from "../interop/load.ts";
import { Execution } from "../tensor/execution.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import { trainOptionsSchema } from "./options.ts";
import { heldOutOf, prepareTrainingData, tokenizerFolderOf } from "./prepare.ts";
import { readRunConfig, runPaths } from "./run-directory.ts";

export type HeldOutScoring = {
  /** A training run, whose settings and prepared data are taken as they are. */
  run: string;
  runsFolder: string;
  /** A model directory with the tokenizer of the run. */
  model: string;
  threads: number;
  /** About so many tokens are taken; the same ones for every model. */
  maxTokens: number;
};

/**
 * Bits per byte and cross-entropy, measured as the run itself does; null where nothing was held out.
 * @throws RookeryError as reading the run, its data and the model do.
 */
export async function scoreHeldOut(
  { run, runsFolder, model: folder, threads, maxTokens }: HeldOutScoring,
  context: CommandContext,
): Promise<Evaluation | null> {
  const paths = runPaths(runsFolder, run);
  const { options } = readRunConfig(paths.config);
  const trained = { ...resolveOptions(trainOptionsSchema, [{ name: paths.config, values: options }]), runsFolder };
  const tokenizerFolder = tokenizerFolderOf(paths.path);
  const tokenizer = await Tokenizer.load(tokenizerFolder);
  // what is wrong with the data has been told when the run began
  const { signal } = context;
  using dataset = (await prepareTrainingData(trained, tokenizer, tokenizerFolder, { signal })).dataset;
  const heldOut = heldOutOf(dataset, trained, tokenizer, maxTokens);
  if (heldOut.bytes === 0) return null;
  using execution = new Execution({ threads, computeType: trained.computeType });
  using model = (await loadModel(folder, context)).model;
  context.onEvent?.({ type: "note", message: `measuring ${path.relative(runsFolder, folder)} on held-out text` });
  return evaluate(execution, model, heldOut);
}
