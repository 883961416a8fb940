/** A needle grid put to a model, cell by cell. */
import type { CommandContext } from "../../base/events.ts";
import type { Jobs } from "../../jobs/jobs.ts";
import { cachedShareOf } from "../cached-share.ts";
import type { EvalModel } from "../model.ts";
import { answerPrompt, type PromptMode, promptCounter } from "./ask.ts";
import { type GridCell, type GridSelection, gridCells, NeedleGrid } from "./grid.ts";
import { checkLengths } from "./run.ts";
import { effectiveLengthOf, scoreAnswer } from "./score.ts";
import { runJobs } from "./work.ts";

export type GridSettings = GridSelection & {
  /** What has to be the same when the work is gone on with. */
  modelName: string;
  lengths: readonly number[];
  /** 0 to 1. */
  depths: readonly number[];
  /** Questions of each cell. */
  samples: number;
  mode: PromptMode;
  /** 1 lets each prompt find what the one before has read. */
  concurrency: number;
  threshold: number;
};

export type CellAnswer = GridCell & {
  answers: readonly string[];
  said: string;
  score: number;
  promptTokens: number;
  cachedTokens: number | null;
  seconds: number;
};

export type GridRow = {
  length: number;
  /** By depth, 0 to 100; null where the length is too short for the question. */
  scores: (number | null)[];
  /** 0 to 100. */
  mean: number | null;
};

export type GridRun = {
  kind: string;
  language: string;
  depths: number[];
  rows: GridRow[];
  mean: number | null;
  /** The longest length whose mean is above the threshold, and shorter ones that are not. */
  effectiveLength: number | null;
  weakerBelow: number[];
  threshold: number;
  promptTokens: number;
  /** The share of the prompts' tokens that the prefix cache saved; null where the model does not tell. */
  cachedShare: number | null;
  /** Spent on the cells, in all runs together. */
  seconds: number;
  left: { length: number; reason: string }[];
  /** Cells that were not wholly right, the shortest first. */
  missed: CellAnswer[];
};

const kind = "needle cell";
const keyOf = ({ length, depth, sample }: GridCell) => `${length}-${depth.toFixed(6)}-${sample}`;
const mostMissed = 50;

/**
 * Asks for what has no answer yet in `jobs`; further lengths, depths and samples may be asked for later.
 * @param proseDigest tells whether a haystack of the user's own is the same again.
 * @throws RookeryError INVALID_OPTION for a length beyond the model, or other settings than before; what the model throws.
 */
export async function runNeedleGrid(
  model: EvalModel,
  settings: GridSettings,
  { jobs, proseDigest }: { jobs: Jobs; proseDigest: string | null },
  context: CommandContext,
): Promise<GridRun> {
  const { lengths, depths, samples, mode, concurrency, modelName } = settings;
  checkLengths(model, lengths);
  const { kind: needle, language, seed, needles } = settings;
  jobs.pin("settings", { model: modelName, needle, language, seed, needles, mode, proseDigest });
  const cells = gridCells(lengths, depths, samples);
  jobs.add(cells.map((payload) => ({ kind, key: keyOf(payload), payload })));
  const grid = new NeedleGrid(settings, await promptCounter(model, mode, context.signal));
  const work = { kind, what: "filling the grid", unit: "cells", concurrency };
  await runJobs(
    jobs,
    {
      ...work,
      async run(job, signal): Promise<CellAnswer> {
        const cell = job.payload as GridCell;
        const prompt = await grid.make(cell);
        const isAlone = concurrency === 1;
        const { text: said, ...costs } = await answerPrompt(model, prompt, { mode, isAlone }, signal);
        return {
          ...cell,
          answers: prompt.answers,
          said,
          score: scoreAnswer({ metric: "all" }, prompt.answers, said),
          ...costs,
        };
      },
    },
    context,
  );
  return resultOf(jobs, cells, settings);
}

function resultOf(jobs: Jobs, cells: readonly GridCell[], settings: GridSettings): GridRun {
  const { kind: needle, language, threshold } = settings;
  const answers: CellAnswer[] = [];
  const left = new Map<number, string>();
  for (const cell of cells) {
    const { state, result, reason } = jobs.find(kind, keyOf(cell))!;
    if (state === "done") answers.push(result as CellAnswer);
    else left.set(cell.length, reason ?? "");
  }
  const depths = [...new Set(cells.map(({ depth }) => depth))].sort((a, b) => a - b);
  const rows = [...new Set(cells.map(({ length }) => length))].map((length): GridRow => {
    const those = answers.filter((one) => one.length === length);
    const scores = depths.map((depth) => meanScore(those.filter((one) => one.depth === depth)));
    return { length, scores, mean: meanScore(those) };
  });
  const sum = (of: (answer: CellAnswer) => number) => answers.reduce((total, answer) => total + of(answer), 0);
  return {
    ...{ kind: needle, language, depths, rows, threshold },
    mean: meanScore(answers),
    ...effectiveLengthOf(
      rows.flatMap(({ length, mean }) => (mean === null ? [] : [{ length, mean }])),
      threshold,
    ),
    promptTokens: sum(({ promptTokens }) => promptTokens),
    cachedShare: cachedShareOf(answers),
    seconds: sum(({ seconds }) => seconds),
    left: [...left].map(([length, reason]) => ({ length, reason })),
    missed: answers.filter(({ score }) => score < 1).slice(0, mostMissed),
  };
}

/** 0 to 100. */
function meanScore(answers: readonly CellAnswer[]): number | null {
  return answers.length === 0 ? null : (100 * answers.reduce((sum, { score }) => sum + score, 0)) / answers.length;
}
