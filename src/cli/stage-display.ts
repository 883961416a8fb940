/** How a stage of alignment looks while it goes on, and what it says at its end. */

import type { Figures, StageEvent, StageResult } from "../align/stage.ts";
import type { RookeryEvent } from "../base/events.ts";
import type { Display } from "./progress.ts";
import { formatDuration, shortNumber } from "./text.ts";

export type StageOnlyEvent = Exclude<StageEvent, RookeryEvent>;

function figureWords(figures: Figures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${value === null ? "-" : Number(value.toPrecision(4))}`)
    .join("  ");
}

/** Draws steps as a status line, measurements and checkpoints as lines that stay. */
export function showStage(display: Display): (event: StageOnlyEvent) => void {
  return (event) => {
    if (event.type === "stage-evaluation") {
      const what = event.isOfAverage ? "the averaged weights, which become the model" : `step ${event.step}`;
      display.print(`${what}: ${figureWords(event.figures)}`);
    } else if (event.type === "checkpoint") display.print(`step ${event.step}: saved ${event.path}`, "quiet");
    else if (event.type === "stage-step") {
      const { step, steps, loss, tokensPerSecond, gradientNorm, secondsLeft, figures } = event;
      const parts = [
        `step ${step}/${steps}`,
        `loss ${loss.toFixed(3)}`,
        ...(figures.accuracy === undefined ? [] : [`accuracy ${figures.accuracy?.toFixed(2)}`]),
        `${shortNumber(tokensPerSecond)} tokens/s`,
        `gradient ${gradientNorm.toFixed(2)}`,
        `${formatDuration(secondsLeft)} to go`,
      ];
      display.status(parts.join("  "), step === steps);
    }
  };
}

export function describeStage(result: StageResult): string[] {
  const leftOut = Object.entries(result.leftOut);
  return [
    `${result.steps} steps, ${Math.round(result.tokensPerSecond)} tokens/s`,
    ...(result.skippedSteps > 0
      ? [`skipped: ${result.skippedSteps} of the steps, whose loss or gradient was not finite`]
      : []),
    ...(leftOut.length > 0 ? [`left out: ${leftOut.map(([reason, count]) => `${count} ${reason}`).join(", ")}`] : []),
    Object.keys(result.figures).length > 0 ? `held out: ${figureWords(result.figures)}` : "nothing was held out",
    `model: ${result.modelFolder}`,
  ];
}
