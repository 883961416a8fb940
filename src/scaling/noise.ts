/** The gradient's noise scale of a training run at its newest checkpoint, and the experts' learning rate that it implies. */
import { resolveOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { BatchStream } from "../data/batches.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { latestCheckpoint, openCheckpoint } from "../train/checkpoint.ts";
import { AdamW } from "../train/optimizer.ts";
import { trainOptionsSchema } from "../train/options.ts";
import { modelConfigOf, prepareTokenizer, prepareTrainingData } from "../train/prepare.ts";
import { readRunConfig, runPaths } from "../train/run-directory.ts";
import { expertLearningRateRatio } from "../train/schedule.ts";
import { accumulateGradients, type MicroBatch } from "../train/step.ts";
import { simpleNoiseScale } from "./batch.ts";
import { meanOf } from "./numeric.ts";

export type NoiseMeasurement = {
  step: number;
  /** Mean training loss of the measured batches, nats a token. */
  loss: number;
  smallBatchTokens: number;
  largeBatchTokens: number;
  smallSquaredNorm: number;
  largeSquaredNorm: number;
  /** tr(Σ) / |G|² in tokens. */
  noiseTokens: number;
  batchTokens: number;
  batchToNoiseRatio: number;
  /** ε(B/n) / ε(B) by the batch-size law at this B / B_noise, n = experts / topK (report eq. 1). */
  expertLearningRateRatio: number;
};

export type NoiseOptions = {
  runsFolder: string;
  name: string;
  /** How many small batches are averaged; all of them together are the large one. */
  batches: number;
  threads: number;
};

const smallBatchTokens = 512;
/** The gradient of the loss alone, every token with the experts that its router chose. */
const routing = { mode: "dropless", capacityFactor: 1, balanceCoefficient: 0, zCoefficient: 0 } as const;

/**
 * Measures on batches that follow no order of the training: squared gradient norms of many small ones, and of all together
 * (McCandlish et al., 2018, appendix A.1).
 * @throws RookeryError MODEL_NOT_FOUND for a run without a checkpoint, BAD_DATA where the norms leave no noise scale.
 */
export async function measureNoise(options: NoiseOptions, context: CommandContext = {}): Promise<NoiseMeasurement> {
  using resources = new DisposableStack();
  const paths = runPaths(options.runsFolder, options.name);
  const latest = latestCheckpoint(paths.checkpoints);
  if (latest === null) {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `${paths.path} has no checkpoint`,
      "name a run of `rookery train` that has saved one",
    );
  }
  const stored = readRunConfig(paths.config);
  const train = resolveOptions(trainOptionsSchema, [{ name: paths.config, values: stored.options }]);
  const config = modelConfigOf(train);
  const { tokenizer, folder } = await prepareTokenizer(train, config, paths.path, context);
  const { dataset } = await prepareTrainingData(
    { ...train, runsFolder: options.runsFolder },
    tokenizer,
    folder,
    context,
  );
  resources.defer(() => dataset.dispose());
  const { sequenceLength, batchTokens } = train;
  const rows = Math.max(1, Math.round(smallBatchTokens / sequenceLength));
  // a seed of its own: not the order in which the run has seen its text
  const stream = new BatchStream({ sources: dataset.train, rows, sequenceLength, seed: train.seed + 1 });
  const batches = Array.from({ length: options.batches }, () => stream.next());

  const execution = resources.use(new Execution({ computeType: train.computeType, threads: options.threads }));
  const model = resources.use(new Transformer(config));
  const optimizer = resources.use(new AdamW(model, train));
  using checkpoint = openCheckpoint(latest.path);
  for (const { name, weight } of model.parameters.values()) weight.setBytes(checkpoint.weights.read(name));

  let done = 0;
  const squaredNorm = async (part: readonly MicroBatch[]): Promise<{ loss: number; squared: number }> => {
    context.signal?.throwIfAborted();
    const { crossEntropy } = accumulateGradients(execution, model, part, routing, { seed: train.seed, step: 1 });
    const squared = optimizer.gradientNorm(execution) ** 2;
    done += part.length;
    context.onEvent?.({
      type: "progress",
      what: "measuring the gradient's noise",
      done,
      total: 2 * batches.length,
      unit: "batches",
    });
    // lets the thread hear that it should stop
    await new Promise((resolve) => setImmediate(resolve));
    return { loss: crossEntropy, squared };
  };
  const small: number[] = [];
  for (const batch of batches) small.push((await squaredNorm([batch])).squared);
  const large = await squaredNorm(batches);

  const sizes = { smallBatchTokens: rows * sequenceLength, largeBatchTokens: rows * sequenceLength * batches.length };
  const noiseTokens = simpleNoiseScale(
    { batchTokens: sizes.smallBatchTokens, squaredNorm: meanOf(small) },
    { batchTokens: sizes.largeBatchTokens, squaredNorm: large.squared },
  );
  const batchToNoiseRatio = batchTokens / noiseTokens;
  return {
    step: latest.step,
    loss: large.loss,
    ...sizes,
    smallSquaredNorm: meanOf(small),
    largeSquaredNorm: large.squared,
    noiseTokens,
    batchTokens,
    batchToNoiseRatio,
    expertLearningRateRatio: expertLearningRateRatio(config.numExperts, config.topK, batchToNoiseRatio),
  };
}
