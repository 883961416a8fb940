/** A run's folder with the lines that training writes, without training. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireLock } from "../../src/base/lock.ts";

const layers = 3;
const experts = 8;

export class FakeRun implements Disposable {
  readonly folder: string;
  readonly #root: string;
  #lock: Disposable | undefined;
  #step = 0;

  constructor(totalSteps: number, more: Record<string, unknown> = {}) {
    this.#root = mkdtempSync(join(tmpdir(), "rookery-run-"));
    this.folder = join(this.#root, "penguins");
    mkdirSync(this.folder);
    const options = {
      ...{ name: "penguins", preset: "nano", steps: totalSteps, batchTokens: 4096, routing: "recycle" },
      ...more,
    };
    writeFileSync(
      join(this.folder, "config.json"),
      JSON.stringify({ format: "rookery-run/1", rookeryVersion: "0.1.0", command: "train", options }),
    );
    writeFileSync(join(this.folder, "metrics.jsonl"), "");
  }

  /** As while it trains: its lock is held. */
  start(): void {
    this.#lock = acquireLock(join(this.folder, "lock"), "the run");
  }

  finish(): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
    mkdirSync(join(this.folder, "model"));
  }

  train(steps: number): void {
    for (let count = 0; count < steps; count++) this.write(this.#record(++this.#step));
  }

  evaluate(bitsPerByte: number): void {
    this.write({
      step: this.#step,
      kind: "evaluation",
      heldOutBitsPerByte: bitsPerByte,
      heldOutCrossEntropy: 2.5 * bitsPerByte,
    });
  }

  write(record: object | string): void {
    const line = typeof record === "string" ? record : `${JSON.stringify(record)}\n`;
    appendFileSync(join(this.folder, "metrics.jsonl"), line);
  }

  /** As a resumed run does: back to nothing. */
  cut(): void {
    writeFileSync(join(this.folder, "metrics.jsonl"), "");
    this.#step = 0;
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
    rmSync(this.#root, { recursive: true });
  }

  #record(step: number): object {
    const crossEntropy = 2 + 6 / (1 + step / 10);
    return {
      ...{ step, kind: "step", crossEntropy, tokens: 4096 * step, updated: true },
      ...{ gradientNorm: 20 / step, learningRate: 0.003, expertLearningRate: 0.001 },
      ...{ tokensPerSecond: 15_000 + 100 * (step % 7), peakMemoryBytes: 1e9 + 1e6 * step },
      ...{ recycledShare: 0.2 / step, droppedShare: 0 },
      layers: Array.from({ length: layers }, (_, layer) => ({
        load: Array.from({ length: experts }, (_, expert) => (expert === layer ? 1024 : 439) + (step % 5)),
        ...{ slots: 4096, overCapacity: 0, recycled: 0, dropped: 0 },
      })),
    };
  }
}
