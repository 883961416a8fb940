/** How a training run looks while it goes on: one line that says how it learns, how fast, and how evenly its experts work. */
import path from "node:path";
import type { RookeryEvent } from "../base/events.ts";
import type { TrainingEvent } from "../train/events.ts";
import { pretrainingName } from "../train/segments.ts";
import type { Display } from "./progress.ts";
import { formatDuration, shortNumber } from "./text.ts";

export type TrainingOnlyEvent = Exclude<TrainingEvent, RookeryEvent>;

/** What other commands can call the run: its name where they look for runs, else its folder. */
export function modelName({ name, runFolder }: { name: string; runFolder: string }): string {
  if (path.normalize(runFolder) === path.join("runs", name)) return name;
  return /\s/.test(runFolder) ? JSON.stringify(runFolder) : runFolder;
}

const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

/** A running mean; one step whose loss is not finite is shown and then forgotten. */
function smooth(mean: number | undefined, value: number): number {
  return mean !== undefined && Number.isFinite(mean) ? 0.9 * mean + 0.1 * value : value;
}

/** Draws steps as a status line, measurements and checkpoints as lines that stay. */
export function showTraining(display: Display): (event: TrainingOnlyEvent) => void {
  let smoothed: { loss: number; speed: number } | undefined;
  return (event) => {
    if (event.type === "evaluation") {
      display.print(
        `step ${event.step}: held-out text ${event.bitsPerByte.toFixed(4)} bits per byte (loss ${event.crossEntropy.toFixed(4)})`,
      );
    } else if (event.type === "checkpoint") {
      display.print(`step ${event.step}: saved ${event.path}`, "quiet");
    } else if (event.type === "training-step") {
      const { step, steps, crossEntropy, tokensPerSecond } = event;
      smoothed = { loss: smooth(smoothed?.loss, crossEntropy), speed: smooth(smoothed?.speed, tokensPerSecond) };
      const parts = [
        `step ${step}/${steps}${event.stage === pretrainingName ? "" : ` (${event.stage})`}`,
        `loss ${smoothed.loss.toFixed(3)}`,
        `${shortNumber(smoothed.speed)} tokens/s (${percent(event.shareOfPeak)} of peak)`,
        `gradient ${event.gradientNorm.toFixed(2)}`,
        `busiest expert ${event.maxLoad.toFixed(2)}×`,
        `recycled ${percent(event.recycledShare)}`,
        `${(event.peakMemoryBytes / 1e9).toFixed(2)} GB`,
        `${formatDuration(event.secondsLeft)} to go`,
      ];
      if (event.droppedShare > 0) parts.splice(6, 0, `dropped ${percent(event.droppedShare)}`);
      display.status(parts.join("  "), step === steps);
    }
  };
}
