/** The whole recipe as one piece of work, which goes on where it was stopped: every stage is a run of its own, what is done is written down. */
import fs from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import { dpo, reward, sft } from "../align/align.ts";
import type { StageEvent, StageResult } from "../align/stage.ts";
import { makeRunConfig, resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { rookeryVersion } from "../base/version.ts";
import { lookBackTexts } from "../tasks/retrieval.ts";
import type { TaskReport } from "../tasks/score.ts";
import type { TrainingEvent } from "../train/events.ts";
import { scoreHeldOut } from "../train/held-out-score.ts";
import { trainOptionsSchema } from "../train/options.ts";
import type { TrainResult } from "../train/run.ts";
import { createRun, isNameFree, openRun, runExists, runPaths } from "../train/run-directory.ts";
import { train } from "../train/train.ts";
import type { QuantizeResult } from "./commands/quantize.ts";
import { generateTasks, tasksSchema } from "./commands/tasks-generate.ts";
import { retrievalSchema, writeRetrievalTexts } from "./commands/tasks-retrieval.ts";
import { scoreTasks, taskScoreSchema } from "./commands/tasks-score.ts";
import { type Sample, writeSamples } from "./recipe-samples.ts";
import { secondsLeftFor, type TimedStage } from "./recipe-time.ts";
import { checkReleases, makeFp8Release, type Releases } from "./releases.ts";

const trained = trainOptionsSchema.pick({
  preset: true,
  model: true,
  data: true,
  name: true,
  seed: true,
  threads: true,
  runsFolder: true,
}).shape;

export const recipeOptionsSchema = z.strictObject({
  ...trained,
  name: trained.name.describe(
    "name of the whole, with which the names of its runs begin; by default start-1, start-2, …",
  ),
  resume: z.boolean().default(false).describe("go on with --name where it was stopped"),
  minutes: z
    .number()
    .positive()
    .max(100_000)
    .default(10)
    .describe("about how long all stages together may take; the FP8 release and the last measurements come on top")
    .meta({ valueName: "N" }),
  quick: z.boolean().default(false).describe("in a third of the time: a first impression"),
  steps: z
    .int()
    .positive()
    .max(2 ** 31 - 1)
    .optional()
    .describe("as many updates in every stage, instead of --minutes"),
});

export type RecipeOptions = z.output<typeof recipeOptionsSchema>;
export type RecipeEvent = TrainingEvent | StageEvent;

/** How good a model is after a stage. */
type Score = Pick<TaskReport, "macroExactMatch" | "count">;

const stateFormat = "rookery-start/1";

/** What is done so far. */
type RecipeState = {
  format: typeof stateFormat;
  rookeryVersion: string;
  tasks?: { folder: string };
  pretraining?: TrainResult;
  longContext?: TrainResult;
  sft?: StageResult;
  reward?: StageResult;
  dpo?: StageResult;
  fp8?: QuantizeResult;
  scores?: Record<string, Score>;
  /** Of held-out text of pretraining, after each stage; null where nothing was held out. */
  bitsPerByte?: Record<string, number | null>;
  /** Of this session and of those before it. */
  elapsedSeconds?: number;
  samples?: Sample[];
};

export type RecipeResult = Omit<Required<RecipeState>, "format" | "rookeryVersion" | "elapsedSeconds"> & {
  name: string;
  folder: string;
  seconds: number;
  releases: Releases;
};

const quickShare = 0.25;

/** What a small model wants: rates a hundred times those of a large one, and no dropout, since tasks never run out. */
const sequenceLength = 512;
const smallModel = {
  sequenceLength,
  microBatchRows: 8,
  heldOutShare: 0.02,
};
const sftRates = { learningRate: 2e-3, finalLearningRate: 2e-4, attentionDropout: 0, hiddenDropout: 0 };
const rewardRates = { learningRate: 5e-4, finalLearningRate: 5e-5 };
/** The average reaches back over some thirty updates: there are not thousands of them. */
const dpoRates = { learningRate: 2e-4, finalLearningRate: 2e-5, emaDecay: 0.97 };
/** At this size updates matter more than tokens an update, and what looks back over a few tokens is learnt soonest. */
const batchTokens = 2048;
const pretrainingLength = 256;
const batchPairs = 32;
/** Tokens of a pair of answers to a task with its prompts, about; and how many a DPO step reads and writes for each. */
const pairTokens = 80;
const dpoPasses = 3;
/** More records than the stages can read in a minute, and as many at most; each costs time to encode. */
const recordsPerMinute = 4500;
const mostRecords = 45_000;
/** Questions that a stage is measured on, of families that are trained on and of others: a quarter of them in a short run. */
const mostQuestions = { test: 1040, unseen: 300 };
const questionsIn = (minutes: number, which: keyof typeof mostQuestions) =>
  Math.round(mostQuestions[which] * clamp(minutes / 8, 0.25, 1));
/** Of held-out text, on which every stage's model is measured: a few seconds each. */
const textTokens = 1 << 15;
const shownExamples = 4;

/** @throws RookeryError as the stages do; INTERRUPTED with how to go on. */
export async function runRecipe(given: RecipeOptions, context: CommandContext<RecipeEvent>): Promise<RecipeResult> {
  const startMs = performance.now();
  const name = given.name ?? freeName(given.runsFolder);
  using run = given.resume
    ? openRun(given.runsFolder, name)
    : createRun(given.runsFolder, name, makeRunConfig("start", { ...given, name, resume: false }));
  const stored = resolveOptions(recipeOptionsSchema, [{ name: run.paths.config, values: run.config.options }]);
  const recipe = new Recipe(
    { ...stored, runsFolder: given.runsFolder, threads: given.threads },
    run.paths.path,
    context,
  );
  try {
    return { ...(await recipe.run(name)), seconds: (performance.now() - startMs) / 1000 };
  } catch (error) {
    if (!context.signal?.aborted) throw error;
    const folder = given.runsFolder === "runs" ? "" : ` --runs-folder ${given.runsFolder}`;
    const message = error instanceof RookeryError ? error.message : "stopped";
    throw new RookeryError("INTERRUPTED", message, `go on with: rookery start --resume --name ${name}${folder}`);
  }
}

class Recipe {
  readonly #options: RecipeOptions;
  readonly #folder: string;
  readonly #context: CommandContext<RecipeEvent>;
  readonly #state: RecipeState;
  readonly #startMs = performance.now();
  /** That sessions before this one have taken. */
  readonly #secondsBefore: number;

  constructor(options: RecipeOptions, folder: string, context: CommandContext<RecipeEvent>) {
    this.#options = options;
    this.#folder = folder;
    this.#context = context;
    this.#state = readState(this.#stateFile);
    this.#secondsBefore = this.#state.elapsedSeconds ?? 0;
  }

  get #minutes(): number {
    const { quick, minutes } = this.#options;
    return quick ? minutes * quickShare : minutes;
  }

  get #elapsedSeconds(): number {
    return this.#secondsBefore + (performance.now() - this.#startMs) / 1000;
  }

  async run(name: string): Promise<Omit<RecipeResult, "seconds">> {
    const { steps, preset, model, data, seed, threads, runsFolder } = this.#options;
    const minutes = this.#minutes;
    const context = this.#context;
    const of = (stage: string) => ({ name: `${name}-${stage}`, runsFolder, threads });

    const count = Math.min(mostRecords, steps === undefined ? Math.ceil(minutes * recordsPerMinute) : steps * 1000);
    const tasks = await this.#once("tasks", "writing tasks", async () => {
      const written = generateTasks(
        tasksSchema.parse({
          out: path.join(this.#folder, "tasks"),
          count,
          testCount: Math.min(mostQuestions.test, (steps ?? mostQuestions.test) * 20),
          seed,
          overwrite: true,
        }),
      );
      // tasks have sentences, too, where the texts have none
      const haystack = [...data.map((source) => weighted(source).path), path.join(written.folder, "texts.jsonl")];
      for (const [which, settings] of Object.entries(lookBackTexts)) {
        const out = path.join(written.folder, `${which}.jsonl`);
        const retrieval = retrievalSchema.parse({ ...settings, out, haystack, count, seed, overwrite: true });
        await writeRetrievalTexts(retrieval, context);
      }
      return written;
    });
    const file = (which: string) => path.join(tasks.folder, `${which}.jsonl`);

    const base = of("short");
    const length = steps === undefined ? { minutes: secondsLeftFor("pretraining", minutes, 0) / 60 } : { steps };
    const made = [
      { path: file("texts"), name: "tasks", weight: 1.6 },
      { path: file("lists"), name: "lists", weight: 0.5 },
      { path: file("lookups"), name: "lookups", weight: 0.8 },
    ];
    const stageData = {
      ...{ seed, batchTokens, sequenceLength: pretrainingLength },
      data: [...data.map(weighted), ...made],
      // to say again is what the lists are for
      filters: { maxRepeatedShare: 1 },
    };
    const pretraining = await this.#once("pretraining", "pretraining", () =>
      train(
        this.#isBegun(base.name) ? { ...base, resume: true } : { ...base, preset, model, ...stageData, ...length },
        context,
      ),
    );
    // what pretraining has managed in its time is what the other stages can do in theirs
    const tokensPerSecond = pretraining.tokens / pretraining.seconds;
    const stepsOf = (stage: TimedStage, tokensPerStep: number) => {
      const seconds = secondsLeftFor(stage, minutes, this.#elapsedSeconds);
      return steps ?? Math.max(10, Math.round((seconds * tokensPerSecond) / tokensPerStep));
    };

    // every measurement of these stages asks hundreds of questions: ten of them would be most of a short run
    const measured = (steps: number) => ({
      steps,
      evaluateEvery: Math.ceil(steps / clamp(Math.round(minutes), 2, 10)),
    });

    const long = of("pretrained");
    const lengthening = await this.#once("longContext", "going on with longer texts", () =>
      train(
        this.#isBegun(long.name)
          ? { ...long, resume: true }
          : {
              ...long,
              from: base.name,
              stage: "long-context",
              ...stageData,
              steps: stepsOf("longContext", batchTokens),
            },
        context,
      ),
    );
    await this.#score("pretrained", lengthening.modelFolder, long.name, shownExamples);

    const common = { ...smallModel, seed, epochs: 10 };
    const tuned = of("sft");
    const tuning = await this.#once("sft", "fine-tuning on conversations", () =>
      sft(
        this.#isBegun(tuned.name)
          ? { ...tuned, resume: true }
          : {
              ...{ ...tuned, ...common, ...sftRates, model: long.name, data: [file("train")] },
              batchTokens,
              ...measured(stepsOf("sft", batchTokens)),
            },
        context,
      ),
    );
    await this.#score("sft", tuning.modelFolder, long.name);

    const judge = of("reward");
    const pairs = { ...common, batchPairs, data: [file("preferences")] };
    await this.#once("reward", "training a reward model", () =>
      reward(
        this.#isBegun(judge.name)
          ? { ...judge, resume: true }
          : {
              ...{ ...judge, ...pairs, ...rewardRates, model: tuned.name },
              ...measured(stepsOf("reward", batchPairs * pairTokens)),
            },
        context,
      ),
    );

    const instruct = of("instruct");
    const aligning = await this.#once("dpo", "aligning by DPO", () =>
      dpo(
        this.#isBegun(instruct.name)
          ? { ...instruct, resume: true }
          : {
              ...{ ...instruct, ...pairs, ...dpoRates, model: tuned.name, rewardModel: judge.name },
              onlineShare: 0.5,
              exam: [file("test")],
              ...measured(stepsOf("dpo", batchPairs * pairTokens * dpoPasses)),
            },
        context,
      ),
    );
    await this.#score("instruct", aligning.modelFolder, long.name);

    const fp8 = await this.#once("fp8", "making the FP8 release", () =>
      makeFp8Release(instruct.name, { runsFolder, threads }, context),
    );
    await this.#score("instruct-fp8", fp8.folder, long.name);

    await this.#once("samples", "writing", () =>
      writeSamples(
        { pretrained: lengthening.modelFolder, instruct: aligning.modelFolder, questions: file("test") },
        { threads },
        context,
      ),
    );

    const {
      format: _format,
      rookeryVersion: _version,
      elapsedSeconds: _elapsed,
      ...done
    } = this.#state as Required<RecipeState>;
    const releases = { pretrained: lengthening.modelFolder, instruct: aligning.modelFolder, instructFp8: fp8.folder };
    return { name, folder: this.#folder, releases: checkReleases(releases), ...done };
  }

  get #stateFile(): string {
    return path.join(this.#folder, "state.json");
  }

  /** True for a run that was begun and not written down as done. */
  #isBegun(name: string): boolean {
    return runExists(this.#options.runsFolder, name);
  }

  /** Does the work and writes down what came of it, or says what came of it before. */
  async #once<Key extends "tasks" | "pretraining" | "longContext" | "sft" | "reward" | "dpo" | "fp8" | "samples">(
    key: Key,
    what: string,
    work: () => Promise<NonNullable<RecipeState[Key]>> | NonNullable<RecipeState[Key]>,
  ): Promise<NonNullable<RecipeState[Key]>> {
    const before = this.#state[key];
    this.#context.signal?.throwIfAborted();
    this.#context.onEvent?.({ type: "note", message: `== ${what}${before ? ": done before" : ""}` });
    if (before) return before;
    const result = await work();
    this.#state[key] = result;
    this.#write();
    return result;
  }

  /** Exact match on questions of the families that are trained on, and on those that are not; and held-out text of `base`, a training run. */
  async #score(stage: string, model: string, base: string, shots = 0): Promise<void> {
    const { threads, runsFolder } = this.#options;
    const scores = this.#state.scores ?? {};
    this.#state.scores = scores;
    for (const which of ["test", "unseen"] as const) {
      const key = `${stage} ${which}`;
      if (scores[key]) continue;
      const file = (name: string) => path.join(this.#folder, "tasks", `${name}.jsonl`);
      const shown = { shots, shotsFrom: [file("train")] };
      const { macroExactMatch, count } = await scoreTasks(
        taskScoreSchema.parse({
          ...{ model, data: [file(which)], threads, ...shown, limit: questionsIn(this.#minutes, which) },
        }),
        this.#context,
      );
      scores[key] = { macroExactMatch, count };
      this.#write();
    }
    const bitsPerByte = this.#state.bitsPerByte ?? {};
    this.#state.bitsPerByte = bitsPerByte;
    if (Object.hasOwn(bitsPerByte, stage)) return;
    const scoring = { run: base, runsFolder, model, threads: threads ?? availableParallelism(), maxTokens: textTokens };
    bitsPerByte[stage] = (await scoreHeldOut(scoring, this.#context))?.bitsPerByte ?? null;
    this.#write();
  }

  #write(): void {
    this.#state.elapsedSeconds = this.#elapsedSeconds;
    writeFileAtomic(this.#stateFile, `${JSON.stringify(this.#state, null, 2)}\n`);
  }
}

const clamp = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value));

const weighted = (source: RecipeOptions["data"][number]) => ({
  weight: 0.6,
  ...(typeof source === "string" ? { path: source } : source),
});

function freeName(runsFolder: string): string {
  let number = 1;
  while (!isNameFree(runPaths(runsFolder, `start-${number}`))) number++;
  return `start-${number}`;
}

/** @throws RookeryError UNKNOWN_FORMAT for a file of another version. */
function readState(file: string): RecipeState {
  if (!fs.existsSync(file)) return { format: stateFormat, rookeryVersion };
  const value = readJsonFile(file);
  if (isPlainObject(value) && value.format === stateFormat) return value as RecipeState;
  throw new RookeryError(
    "UNKNOWN_FORMAT",
    `${file} is no ${stateFormat}`,
    "use the Rookery that wrote it, or start anew under another --name",
  );
}
