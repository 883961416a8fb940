/** What a run of a stage writes down and tells while it goes on: metrics, measurements, warnings, checkpoints. */
import { RookeryError } from "../base/errors.ts";
import { saveCheckpoint } from "../train/checkpoint.ts";
import { peakProcessBytes } from "../train/memory.ts";
import type { Rates } from "../train/step.ts";
import type { Figures, StageContext, StageResult, StageStep } from "./stage.ts";
import { type Counters, checkpointOf, type Running } from "./stage-state.ts";
import { concernsOfHistory } from "./watch.ts";

export class StageRecord {
  /** Of the last measurement. */
  figures: Figures = {};
  readonly #running: Running;
  readonly #counters: Counters;
  readonly #context: StageContext;
  readonly #firstStep: number;
  readonly #startedMs = performance.now();
  readonly #told = new Set<string>();
  #savedStep: number;
  #tokens = 0;
  #secondsInSteps = 0;

  /** @param step updates that are done already. */
  constructor(running: Running, step: number, counters: Counters, context: StageContext) {
    this.#running = running;
    this.#counters = counters;
    this.#context = context;
    this.#firstStep = step;
    this.#savedStep = step;
  }

  /** Measures what has been learnt so far. What stands in the metrics already, of a run that was at its end, is told and not written again. */
  measure(step: number, isNew = true): void {
    const { made, run } = this.#running;
    const figures = made.evaluate();
    this.figures = figures;
    if (Object.keys(figures).length === 0) return;
    this.#context.onEvent?.({ type: "stage-evaluation", step, figures });
    if (!isNew) return;
    run.appendMetrics({ step, kind: "stage-evaluation", ...figures });
    this.#counters.measurements.push(figures);
    this.#warn(step, concernsOfHistory(this.#counters.measurements));
  }

  /** Measures the averaged weights, which become the model; the metrics are of what was trained. */
  measureSettled(step: number): void {
    this.figures = this.#running.made.evaluate();
    if (Object.keys(this.figures).length === 0) return;
    this.#context.onEvent?.({ type: "stage-evaluation", step, figures: this.figures, isOfAverage: true });
  }

  /** Takes an update down. @throws RookeryError NON_FINITE after too many in a row that were none. */
  addStep(step: number, { layers, figures, concerns = [], ...report }: StageStep, rates: Rates, seconds: number): void {
    const { run, made } = this.#running;
    const counters = this.#counters;
    const { loss, ...rest } = report;
    this.#secondsInSteps += seconds;
    this.#tokens += report.tokens;
    counters.tokens += report.tokens;
    const tokensPerSecond = report.tokens / seconds;
    run.appendMetrics({
      step,
      kind: "step",
      crossEntropy: loss,
      ...rest,
      // since the start, as in the metrics of training
      tokens: counters.tokens,
      ...rates,
      ...figures,
      seconds,
      tokensPerSecond,
      layers,
    });
    this.#warn(step, concerns);
    this.#countSkipped(step, report.updated);
    const { gradientNorm } = report;
    const { learningRate } = rates;
    const left = made.totalSteps - step;
    const secondsLeft = (this.#secondsSinceStart() / (step - this.#firstStep)) * left;
    const shown = { loss, gradientNorm, learningRate, tokensPerSecond, secondsLeft, figures };
    this.#context.onEvent?.({ type: "stage-step", step, steps: made.totalSteps, ...shown });
    this.#refuseToGoOn(step, report);
  }

  /** Writes a checkpoint, unless one of this step is there. */
  save(step: number): void {
    if (this.#savedStep === step) return;
    const { run, options } = this.#running;
    run.syncMetrics();
    const contents = checkpointOf(this.#running, step, this.#counters);
    const { path: folder } = saveCheckpoint(run.paths.checkpoints, contents, options.keepCheckpoints);
    this.#savedStep = step;
    this.#context.onEvent?.({ type: "checkpoint", step, path: folder });
  }

  /** What is said to a user who has stopped the run: how to go on with it. */
  stopped(step: number): RookeryError {
    const { stage, options, run, made } = this.#running;
    const folder = options.runsFolder === "runs" ? "" : ` --runs-folder ${options.runsFolder}`;
    return new RookeryError(
      "INTERRUPTED",
      `stopped at step ${step} of ${made.totalSteps}, saved in ${run.paths.path}`,
      `go on with: rookery ${stage} --resume --name ${run.paths.name}${folder}`,
    );
  }

  result(): StageResult {
    const { stage, run, made } = this.#running;
    const { path: runFolder, model: modelFolder, name } = run.paths;
    return {
      format: "rookery-stage/1",
      stage,
      name,
      runFolder,
      modelFolder,
      steps: made.totalSteps,
      skippedSteps: this.#counters.skippedSteps,
      figures: this.figures,
      leftOut: { ...made.leftOut },
      seconds: this.#secondsSinceStart(),
      tokensPerSecond: this.#tokens / Math.max(this.#secondsInSteps, 1e-9),
      peakMemoryBytes: peakProcessBytes(),
    };
  }

  #secondsSinceStart(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /** Tells each concern once. */
  #warn(step: number, concerns: readonly string[]): void {
    for (const concern of concerns) {
      if (!this.#told.has(concern)) this.#context.onEvent?.({ type: "warning", message: `step ${step}: ${concern}` });
      this.#told.add(concern);
    }
  }

  #countSkipped(step: number, isUpdated: boolean): void {
    const counters = this.#counters;
    counters.skippedInARow = isUpdated ? 0 : counters.skippedInARow + 1;
    if (isUpdated) return;
    counters.skippedSteps++;
    const message = `step ${step} was skipped: its loss or gradient was not finite`;
    this.#context.onEvent?.({ type: "warning", message });
  }

  #refuseToGoOn(step: number, { loss, gradientNorm }: Pick<StageStep, "loss" | "gradientNorm">): void {
    const { skippedInARow } = this.#counters;
    const { options, made } = this.#running;
    // a run that is shorter than that and learns nothing leaves no model either
    if (skippedInARow < Math.min(options.maxSkippedSteps, made.totalSteps)) return;
    throw new RookeryError(
      "NON_FINITE",
      `loss ${loss} or gradient norm ${gradientNorm} was not finite for ${skippedInARow} steps in a row, up to step ${step}`,
      skippedInARow === step
        ? `no step was ever finite: take another copy of the model ${options.model}, or other data`
        : "start it anew under another --name with a lower --learning-rate",
    );
  }
}
