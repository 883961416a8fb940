/** How much memory training takes: predicted from the configuration before anything is made, and seen afterwards. */
import { readFileSync } from "node:fs";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import type { Recomputation } from "../model/recomputation.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import type { TrainOptions } from "./options.ts";
import { batchShape } from "./resolve.ts";
import { accumulateGradients, type MicroBatch } from "./step.ts";

export type TrainingMemory = {
  /** Weights, gradients, and the optimizer's moments. */
  stateBytes: number;
  /** Activations, gradients of activations, and scratch, at the moment when they are the most. */
  arenaBytes: number;
  /** Node itself, its heap and the program. */
  runtimeBytes: number;
  totalBytes: number;
};

export type TrainingMemorySettings = {
  /** Rows of a forward pass, and tokens in each. */
  rows: number;
  sequenceLength: number;
  computeType: ComputeType;
  threads: number;
  recomputation: Recomputation;
  firstMomentType?: ComputeType;
};

/** Those of a run whose options are resolved. */
export function memorySettingsOf(options: TrainOptions): TrainingMemorySettings {
  const { sequenceLength, computeType, recomputation, firstMomentType, threads = 1 } = options;
  return { rows: batchShape(options).rows, sequenceLength, computeType, recomputation, firstMomentType, threads };
}

/** Measured on Linux x64: two threads of JavaScript, a tokenizer, the data that is being read. */
const runtimeBytes = 300e6;

/**
 * What a run would take. The arena's part is counted by going through a step without memory and without kernels, so it needs
 * the kernels' library only to ask for sizes of scratch. Each row is counted as one document.
 * @throws RookeryError NO_COMPILER if the kernels cannot be built.
 */
export function predictTrainingMemory(config: ModelConfig, settings: TrainingMemorySettings): TrainingMemory {
  const { memory, parameters } = account(config);
  const savedBytes = settings.firstMomentType === "bf16" ? 2 * parameters.total : 0;
  const stateBytes = memory.trainingStateBytes - savedBytes;
  const arenaBytes = planStep(config, settings);
  return { stateBytes, arenaBytes, runtimeBytes, totalBytes: stateBytes + arenaBytes + runtimeBytes };
}

/** Bytes of the arena's block that a step of one micro-batch needs. */
function planStep(config: ModelConfig, settings: TrainingMemorySettings): number {
  using execution = new Execution({ ...settings, isPlanned: true });
  using model = new Transformer(config, { isPlanned: true });
  const routing = { mode: "dropless", capacityFactor: 1, balanceCoefficient: 1, zCoefficient: 1 } as const;
  accumulateGradients(execution, model, [blankBatch(settings)], routing, { seed: 0, step: 1 }, settings.recomputation);
  return execution.arena.peakBytes;
}

function blankBatch({ rows, sequenceLength }: TrainingMemorySettings): MicroBatch {
  const tokens = new Int32Array(rows * sequenceLength);
  const sequences = Int32Array.from({ length: 2 * rows }, (_, i) =>
    i % 2 ? sequenceLength : (i / 2) * sequenceLength,
  );
  return { tokens, targets: tokens, positions: tokens, sequences };
}

/** What is wrong with a run that will not fit, or undefined. @param availableBytes that are free before it is made. */
export function memoryWarning(
  config: ModelConfig,
  settings: TrainingMemorySettings,
  needed: TrainingMemory,
  availableBytes: number,
): string | undefined {
  const rest = ({ totalBytes }: TrainingMemory) => totalBytes - runtimeBytes;
  if (rest(needed) <= availableBytes) return undefined;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const mends = ["lower --micro-batch-tokens"];
  if (settings.firstMomentType !== "bf16") mends.push("take --first-moment-type bf16");
  if (settings.recomputation !== "block") {
    const block = predictTrainingMemory(config, { ...settings, recomputation: "block" });
    if (rest(block) < rest(needed)) mends.push(`with --recomputation block it needs ${gigabytes(rest(block))}`);
  }
  return `this run needs about ${gigabytes(rest(needed))} of memory and ${gigabytes(availableBytes)} are free: ${mends.join(", or ")}`;
}

/** The most memory that this process has held at once so far. */
export function peakProcessBytes(): number {
  try {
    // what the process itself has held: maxRSS may be that of the one that started it
    const line = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (line) return Number(line[1]) * 1024;
  } catch {
    // no /proc here
  }
  return process.resourceUsage().maxRSS * 1024;
}
