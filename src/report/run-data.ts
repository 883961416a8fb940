/** What a finished or stopped run has left, read for its report: `metrics.jsonl` as at most so many rows, options, sources. */
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { readTextFile } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { readMetrics } from "../train/metrics-file.ts";
import { readRunConfig, runPaths } from "../train/run-directory.ts";

/** Where each column comes from in a line of `metrics.jsonl`. */
const sources = {
  loss: "crossEntropy",
  gradientNorm: "gradientNorm",
  learningRate: "learningRate",
  expertLearningRate: "expertLearningRate",
  tokensPerSecond: "tokensPerSecond",
  balanceLoss: "balanceLoss",
  recycledShare: "recycledShare",
  droppedShare: "droppedShare",
} as const;

export type RunColumn = keyof typeof sources;
const columns = Object.keys(sources) as RunColumn[];

/** Means over neighboring steps; `loads` is layer by layer the share of each expert over an even one. */
export type RunRow = { step: number; tokens: number; values: Record<RunColumn, number | null>; loads: number[][] };

export type RunData = {
  name: string;
  /** What made it: "train", "sft", "dpo". */
  command: string;
  /** Whether it has left a model. */
  isFinished: boolean;
  /** The version of Rookery. */
  trainedBy: string;
  options: Record<string, unknown>;
  steps: number;
  /** That it is to have over all its stages; null where its options do not tell. */
  totalSteps: number | null;
  /** In their order, each with its last step so far. */
  stages: { name: string; lastStep: number }[];
  tokens: number;
  seconds: number;
  peakMemoryBytes: number | null;
  skippedSteps: number;
  stepsPerRow: number;
  rows: RunRow[];
  evaluations: { step: number; crossEntropy: number; bitsPerByte: number }[];
  /** What a stage of alignment measured on held-out records and questions, by the names of its figures. */
  measurements: { step: number; figures: Record<string, number> }[];
  /** Tokens and documents by source, as the model's card tells; empty while there is no model. */
  sources: { name: string; license: string; tokens: string; documents: string }[];
};

const mostRows = 512;
const mostLoads = 4096;
const mostEvaluations = 10_000;
const mostFigures = 64;
const mostStages = 64;

/** @throws RookeryError MODEL_NOT_FOUND for no run, BAD_DATA for a run without a step. */
export function readRun(runsFolder: string, name: string): RunData {
  const paths = runPaths(runsFolder, name);
  if (!fs.existsSync(paths.config)) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `there is no run ${JSON.stringify(name)} in ${runsFolder}`,
      "correct RUN, or name its folder with --runs-folder",
    );
  }
  const { command, options, rookeryVersion } = readRunConfig(paths.config);
  const card = path.join(paths.model, "README.md");
  const data: RunData = {
    ...{
      name,
      command,
      isFinished: fs.existsSync(card),
      trainedBy: rookeryVersion,
      options,
      steps: 0,
      totalSteps: totalStepsOf(options),
      stages: [],
      tokens: 0,
      seconds: 0,
      peakMemoryBytes: null,
      skippedSteps: 0,
    },
    ...{
      stepsPerRow: 1,
      rows: [],
      evaluations: [],
      measurements: [],
      sources: sourcesOf(card),
    },
  };
  const pending: RunRow[] = [];
  for (const record of fs.existsSync(paths.metrics) ? readMetrics(paths.metrics) : []) {
    if (record.kind === "evaluation") addEvaluation(data, record);
    if (record.kind === "stage-evaluation") addMeasurement(data, record);
    if (record.kind === "step") addStep(data, record, pending);
  }
  if (pending.length > 0) data.rows.push(meanOf(pending));
  if (data.rows.length > 0) return data;
  throw new RookeryError(
    "BAD_DATA",
    `the run ${JSON.stringify(name)} has no step yet`,
    "let it train for a while; if it has stopped, its command has said why: go on with it by --resume",
  );
}

/** No training writes what is larger, and beyond it the span of an axis would overflow. */
const mostFigure = 1e100;

function figureOf(value: unknown): number | null {
  return typeof value === "number" && Math.abs(value) <= mostFigure ? value : null;
}

/** Steps of pre-training and of the stages after it. */
function totalStepsOf({ steps, stages }: Record<string, unknown>): number | null {
  const after = Array.isArray(stages) ? stages.map((stage) => (isPlainObject(stage) ? stage.steps : undefined)) : [];
  const all = [steps, ...after].filter((count) => typeof count === "number");
  return all.length === 1 + after.length ? all.reduce((sum, count) => sum + count, 0) : null;
}

function addStage({ stages }: RunData, name: unknown, step: number): void {
  if (typeof name !== "string") return;
  const last = stages.at(-1);
  if (last?.name === name) last.lastStep = step;
  else if (stages.length < mostStages) stages.push({ name, lastStep: step });
}

function addEvaluation(
  data: RunData,
  { step, heldOutCrossEntropy, heldOutBitsPerByte }: Record<string, unknown>,
): void {
  const [crossEntropy, bitsPerByte] = [figureOf(heldOutCrossEntropy), figureOf(heldOutBitsPerByte)];
  if (crossEntropy === null || bitsPerByte === null || data.evaluations.length >= mostEvaluations) return;
  data.evaluations.push({ step: step as number, crossEntropy, bitsPerByte });
}

function addMeasurement(data: RunData, { step, kind: _kind, ...figures }: Record<string, unknown>): void {
  if (data.measurements.length >= mostEvaluations) return;
  const known = Object.entries(figures).filter((entry): entry is [string, number] => figureOf(entry[1]) !== null);
  data.measurements.push({ step: step as number, figures: Object.fromEntries(known.slice(0, mostFigures)) });
}

function addStep(data: RunData, record: Record<string, unknown>, pending: RunRow[]): void {
  const number = (name: string) => figureOf(record[name]);
  data.steps = record.step as number;
  addStage(data, record.stage, data.steps);
  data.tokens = number("tokens") ?? data.tokens;
  data.seconds += number("seconds") ?? 0;
  data.peakMemoryBytes = Math.max(data.peakMemoryBytes ?? 0, number("peakMemoryBytes") ?? 0) || null;
  if (record.updated === false) data.skippedSteps++;
  const values = Object.fromEntries(columns.map((column) => [column, number(sources[column])]));
  pending.push({
    step: data.steps,
    tokens: data.tokens,
    values: values as Record<RunColumn, number | null>,
    loads: loadsOf(record.layers),
  });
  if (pending.length < data.stepsPerRow) return;
  data.rows.push(meanOf(pending));
  pending.length = 0;
  if (data.rows.length < 2 * mostRows) return;
  data.rows = Array.from({ length: mostRows }, (_, pair) => meanOf(data.rows.slice(2 * pair, 2 * pair + 2)));
  data.stepsPerRow *= 2;
}

function loadsOf(layers: unknown): number[][] {
  if (!Array.isArray(layers)) return [];
  let room = mostLoads;
  return layers.flatMap((layer) => {
    const load: unknown = isPlainObject(layer) ? layer.load : undefined;
    if (!Array.isArray(load) || load.length === 0 || load.length > room) return [];
    room -= load.length;
    const counts = load.map((count) => (typeof count === "number" && count > 0 ? count : 0));
    const even = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return [counts.map((count) => (even > 0 ? count / even : 0))];
  });
}

function meanOf(rows: readonly RunRow[]): RunRow {
  const last = rows.at(-1)!;
  if (rows.length === 1) return last;
  const mean = (numbers: readonly (number | null)[]) => {
    const known = numbers.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  const values = Object.fromEntries(columns.map((column) => [column, mean(rows.map((row) => row.values[column]))]));
  const loads = last.loads.map((experts, layer) =>
    experts.map((_, expert) => mean(rows.map((row) => row.loads[layer]?.[expert] ?? null)) ?? 0),
  );
  return { step: last.step, tokens: last.tokens, values: values as Record<RunColumn, number | null>, loads };
}

/** The table of sources in the model's card. */
function sourcesOf(card: string): RunData["sources"] {
  if (!fs.existsSync(card)) return [];
  const lines = readTextFile(card, 1 << 24).split("\n");
  const start = lines.indexOf("| source | license | tokens | documents |");
  if (start < 0) return [];
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end < 0 ? rows.length : end).map((line) => {
    const [name = "", license = "", tokens = "", documents = ""] = line
      .split("|")
      .slice(1)
      .map((cell) => cell.trim());
    return { name, license, tokens, documents };
  });
}
