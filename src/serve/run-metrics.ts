/** A run's `metrics.jsonl`, followed while it grows, and kept as at most so many rows: a long run is as cheap to show as a short one. */
import fs from "node:fs";
import path from "node:path";
import { isPlainName } from "../base/files.ts";
import { isLockHeld } from "../base/lock.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { rookeryVersion } from "../base/version.ts";
import { readRunConfig } from "../train/run-directory.ts";
import { pretrainingName } from "../train/segments.ts";
import { RowStore } from "./training-rows.ts";
import type {
  TrainingEvaluation,
  TrainingSnapshot,
  TrainingStatus,
  TrainingStretch,
  TrainingUpdate,
} from "./training-wire.ts";

const chunkBytes = 1 << 20;
/** A longer line is none of a run's. */
const mostLineBytes = 8 << 20;
const mostEvaluations = 10_000;
const shownSettings = "preset sequenceLength batchTokens learningRate routing capacityFactor computeType seed".split(
  " ",
);

/** Where a reader stands; another epoch means that everything is new. */
export type MetricsPosition = { epoch: number; rows: number; evaluations: number };

export class RunMetrics {
  readonly #folder: string;
  readonly #store = new RowStore();
  #evaluations: TrainingEvaluation[] = [];
  #tokens = 0;
  #status: TrainingStatus = "stopped";
  #config: Pick<TrainingSnapshot, "name" | "totalSteps" | "settings" | "stretches">;
  /** Counts the times that what was told before no longer holds. */
  #restarts = 0;
  #offset = 0;
  #inode = -1;
  #rest: Buffer = Buffer.alloc(0);
  #isSkipping = false;
  #refreshing: Promise<void> | undefined;

  /** @throws RookeryError when `folder` is no run's. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#config = this.#readConfig();
  }

  get position(): MetricsPosition {
    return {
      epoch: this.#restarts + this.#store.merges,
      rows: this.#store.length,
      evaluations: this.#evaluations.length,
    };
  }

  /** Reads what has been written since the last time. Many may ask at once: one reads. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  snapshot(): TrainingSnapshot {
    return {
      format: "rookery-training/1",
      rookeryVersion,
      ...this.#config,
      status: this.#status,
      tokens: this.#tokens,
      stepsPerRow: this.#store.stepsPerRow,
      rows: this.#store.columns(0, this.#status !== "running"),
      evaluations: this.#evaluations,
    };
  }

  /** What came after `position`, of the same epoch. */
  updateSince({ rows, evaluations }: MetricsPosition): TrainingUpdate {
    return {
      tokens: this.#tokens,
      rows: this.#store.columns(rows, false),
      evaluations: this.#evaluations.slice(evaluations),
    };
  }

  async #read(): Promise<void> {
    const metricsPath = path.join(this.#folder, "metrics.jsonl");
    const status = this.#findStatus();
    if (status !== this.#status) {
      this.#status = status;
      this.#restarts++;
    }
    let file: fs.promises.FileHandle;
    try {
      file = await fs.promises.open(metricsPath, "r");
    } catch {
      // A run that has just begun has none yet.
      return;
    }
    try {
      const { size, ino } = await file.stat();
      // A resumed run cuts the file back to its checkpoint.
      if (size < this.#offset || ino !== this.#inode) this.#restart(ino);
      const buffer = Buffer.alloc(chunkBytes);
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkBytes, this.#offset);
        if (bytesRead === 0) break;
        this.#offset += bytesRead;
        this.#take(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }

  #restart(inode: number): void {
    this.#inode = inode;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
    this.#isSkipping = false;
    this.#store.clear();
    this.#evaluations = [];
    this.#tokens = 0;
    this.#config = this.#readConfig();
    this.#restarts++;
  }

  #take(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const newline = chunk.indexOf(0x0a, start);
      if (newline === -1) break;
      if (!this.#isSkipping)
        this.#takeLine(Buffer.concat([this.#rest, chunk.subarray(start, newline)]).toString("utf8"));
      this.#rest = Buffer.alloc(0);
      this.#isSkipping = false;
      start = newline + 1;
    }
    if (this.#isSkipping) return;
    this.#rest = Buffer.concat([this.#rest, chunk.subarray(start)]);
    if (this.#rest.length > mostLineBytes) {
      this.#rest = Buffer.alloc(0);
      this.#isSkipping = true;
    }
  }

  #takeLine(line: string): void {
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch {
      return;
    }
    if (!isPlainObject(record) || !Number.isSafeInteger(record.step)) return;
    const step = record.step as number;
    if (record.kind === "evaluation") {
      const { heldOutBitsPerByte: bitsPerByte, heldOutCrossEntropy: crossEntropy } = record;
      if (typeof bitsPerByte !== "number" || typeof crossEntropy !== "number") return;
      if (this.#evaluations.length < mostEvaluations) this.#evaluations.push({ step, bitsPerByte, crossEntropy });
    } else if (record.kind === "step") {
      this.#store.add(step, record);
      if (typeof record.tokens === "number") this.#tokens = record.tokens;
    }
  }

  #findStatus(): TrainingStatus {
    if (isLockHeld(path.join(this.#folder, "lock"))) return "running";
    return fs.existsSync(path.join(this.#folder, "model")) ? "finished" : "stopped";
  }

  #readConfig() {
    const { options } = readRunConfig(path.join(this.#folder, "config.json"));
    const isShown = (value: unknown) => ["string", "number", "boolean"].includes(typeof value);
    const settings = shownSettings.filter((key) => isShown(options[key])).map((key) => [key, options[key]]);
    const stretches = stretchesOf(options);
    const steps = typeof options.steps === "number" ? options.steps : null;
    return {
      name: typeof options.name === "string" && isPlainName(options.name) ? options.name : path.basename(this.#folder),
      totalSteps: stretches.at(-1)?.lastStep ?? steps,
      stretches,
      settings: Object.fromEntries(settings) as TrainingSnapshot["settings"],
    };
  }
}

/** What a run's options say of its parts; empty where they are not those of a run with stages. */
function stretchesOf(options: Record<string, unknown>): TrainingStretch[] {
  const stages = Array.isArray(options.stages) ? options.stages.filter(isPlainObject) : [];
  const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
  const parts = options.from === undefined && stages.length > 0 ? [{ ...options, name: pretrainingName }] : [];
  const stretches: TrainingStretch[] = [];
  let before = 0;
  for (const part of [...parts, ...stages] as Record<string, unknown>[]) {
    const { name, steps, sequenceLength, batchTokens, ropeTheta, ropeAlpha } = part;
    if (typeof name !== "string" || !isNumber(steps) || !isNumber(sequenceLength) || !isNumber(batchTokens)) return [];
    stretches.push({
      ...{ name, firstStep: before + 1, lastStep: before + steps, sequenceLength, batchTokens },
      ropeTheta: isNumber(ropeTheta) ? ropeTheta : null,
      ropeAlpha: isNumber(ropeAlpha) ? ropeAlpha : null,
    });
    before += steps;
  }
  return stretches;
}
