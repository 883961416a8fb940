/** A run as segments of steps: its pre-training, unless it begins with a model and has stages, and then its stages. */
import { RookeryError } from "../base/errors.ts";
import { BatchStream, type DataPosition, type LongDocuments } from "../data/batches.ts";
import type { TokenSource } from "../data/packing.ts";
import type { PreparedData } from "../data/prepare.ts";
import type { ModelConfig } from "../model/config.ts";
import type { TrainOptions } from "./options.ts";
import { type Budget, batchShape, type Pace, stepsIn, withSteps } from "./resolve.ts";
import { configInStage, type StageOptions, stagePreset } from "./stages.ts";
import type { SegmentSettings } from "./trainer.ts";

export type Segment = SegmentSettings & {
  name: string;
  batchTokens: number;
  sequenceLength: number;
  rows: number;
  config: ModelConfig;
  /** Undefined where long documents are not told apart. */
  long: LongDocuments | undefined;
};

export const pretrainingName = "pre-training";

/** Whether the steps, tokens or minutes of the options are those of pre-training, and not of the stages. */
export const hasPretraining = ({ from, stages }: Pick<TrainOptions, "from" | "stages">): boolean =>
  from === undefined || stages.length === 0;

/**
 * The options with everything of their stages that depends on others, besides the lengths. @param config of the model before them.
 * @throws RookeryError INVALID_OPTION for sizes that do not go together.
 */
export function resolveStages({ stage: preset, ...options }: TrainOptions, config: ModelConfig): TrainOptions {
  const { sequenceLength } = options;
  if (preset !== undefined && options.stages.length > 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--stage ${preset} is given beside a list of ${options.stages.length} stages`,
      "give one of them",
    );
  }
  const asked = preset ? stagePreset(preset, { sequenceLength, ropeTheta: config.ropeTheta }) : options.stages;
  const stages = asked.map((stage) => {
    configInStage(config, stage);
    const batchTokens = stage.batchTokens ?? wholeRows(options.batchTokens, stage.sequenceLength);
    const { rows } = batchShape({ ...stage, batchTokens });
    if (stage.tokens !== undefined && stage.steps !== undefined) {
      throw new RookeryError(
        "INVALID_OPTION",
        `the stage ${stage.name} has steps ${stage.steps} and tokens ${stage.tokens}`,
        "give one of them",
      );
    }
    return {
      ...stage,
      batchTokens,
      microBatchTokens: rows * stage.sequenceLength,
      longTokens: stage.longTokens ?? Math.ceil(stage.sequenceLength / 2),
      learningRate: stage.learningRate ?? options.learningRate * options.finalLearningRateShare,
      recomputation: stage.recomputation ?? options.recomputation,
      ...(stage.tokens !== undefined && { tokens: undefined, steps: Math.ceil(stage.tokens / batchTokens) }),
    };
  });
  return { ...options, stages };
}

const wholeRows = (tokens: number, row: number) => Math.max(1, Math.round(tokens / row)) * row;

/**
 * The options once every length is known. @param measured the pace of the first segment, and the tokens of its updates.
 * @throws RookeryError INVALID_OPTION for a length that is nobody's.
 */
export function settleLengths(
  options: TrainOptions,
  budget: Budget,
  measured: Pace & { batchTokens: number },
): TrainOptions {
  const tokens =
    "steps" in budget
      ? budget.steps * options.batchTokens
      : stepsIn(budget.minutes, options, measured) * measured.batchTokens;
  const stages = settleStages(options, tokens);
  const ofStages = stages.reduce((sum, { steps = 0 }) => sum + steps, 0);
  const pretraining = hasPretraining(options) ? Math.max(1, Math.round(tokens / options.batchTokens)) : 0;
  const { evaluateEvery, checkpointEvery, ...rest } = withSteps(options, pretraining + ofStages, measured);
  return { ...rest, evaluateEvery, checkpointEvery, stages, steps: pretraining || ofStages };
}

/**
 * The stages with their lengths; those without one share what the run was given for them, or take a fifth of the tokens of
 * the pre-training. @param tokens of the pre-training, or of all stages together.
 */
function settleStages(options: TrainOptions, tokens: number): StageOptions[] {
  const open = options.stages.filter(({ steps }) => steps === undefined).length;
  const given = (["steps", "tokens", "minutes"] as const).find((key) => options[key] !== undefined);
  if (!hasPretraining(options) && open === 0 && given !== undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      `--${given} ${options[given]} is given, but each of the stages has a length of its own`,
      "leave it out",
    );
  }
  const each = hasPretraining(options) ? tokens / 5 : tokens / open;
  return options.stages.map((stage) => {
    const steps = stage.steps ?? Math.max(1, Math.round(each / (stage.batchTokens ?? options.batchTokens)));
    return { ...stage, steps };
  });
}

/** Batches of a segment; each begins with documents in another order. */
export function openStream(
  { rows, sequenceLength, long }: Segment,
  { sources, seed, index }: { sources: readonly TokenSource[]; seed: number; index: number },
  position?: DataPosition,
): BatchStream {
  return new BatchStream({ sources, rows, sequenceLength, seed: seed + index, long, position });
}

/** The segments of a run whose options are resolved; lengths that are not known yet count as 1 step. */
export function segmentsOf(options: TrainOptions, config: ModelConfig, mixtures: PreparedData["mixtures"]): Segment[] {
  const { learningRate, sequenceLength, batchTokens, recomputation, annealingShare } = options;
  const schedule = {
    peakLearningRate: learningRate,
    finalShare: options.finalLearningRateShare,
    annealingShare,
    ...lengthOf(options),
  };
  const base = { sequenceLength, batchTokens, recomputation, config, long: undefined, mixtures, schedule };
  const segments: Segment[] = hasPretraining(options)
    ? [{ name: pretrainingName, ...base, ...batchShape(options) }]
    : [];
  let before = config;
  for (const stage of options.stages) {
    before = configInStage(before, stage);
    const sizes = { sequenceLength: stage.sequenceLength, batchTokens: stage.batchTokens ?? batchTokens };
    const mixture = stage.mixture ?? mixtures.main;
    segments.push({
      ...{ name: stage.name, config: before, recomputation: stage.recomputation ?? recomputation },
      ...sizes,
      ...batchShape({ ...sizes, microBatchTokens: stage.microBatchTokens }),
      long: stage.longShare > 0 ? { share: stage.longShare, tokens: stage.longTokens ?? 1 } : undefined,
      mixtures: { main: mixture, annealing: mixture },
      schedule: {
        peakLearningRate: stage.learningRate ?? learningRate,
        finalShare: stage.finalLearningRateShare,
        annealingShare: 0,
        ...lengthOf(stage),
      },
    });
  }
  return segments;
}

function lengthOf({ steps = 1, warmupShare }: { steps?: number | undefined; warmupShare: number }) {
  return { totalSteps: steps, warmupSteps: Math.max(1, Math.round(steps * warmupShare)) };
}
