import assert from "node:assert/strict";
import { test } from "node:test";
import type { TrainingStepEvent } from "../train/events.ts";
import { Display } from "./progress.ts";
import { modelName, showTraining } from "./training-display.ts";

function record(options: { isTTY?: boolean; columns?: number } = {}) {
  const clock = { ms: 0 };
  const recorder = {
    ...{ text: "", isTTY: options.isTTY, columns: options.columns },
    write(text: string) {
      recorder.text += text;
    },
  };
  // NO_COLOR: the lines are what is tested here
  const display = new Display(recorder, { environment: { NO_COLOR: "1" }, now: () => clock.ms });
  return { clock, recorder, display, show: showTraining(display) };
}

function step(number: number, changes: Partial<TrainingStepEvent> = {}): TrainingStepEvent {
  return {
    ...{
      type: "training-step",
      stage: "pre-training",
      step: number,
      steps: 100,
      tokens: number * 8192,
      crossEntropy: 4,
      gradientNorm: 0.5,
    },
    ...{
      learningRate: 0.003,
      tokensPerSecond: 12_000,
      shareOfPeak: 0.314,
      peakMemoryBytes: 912e6,
      maxLoad: 1.5,
      overCapacityShare: 0.1,
    },
    ...{ recycledShare: 0.1, droppedShare: 0, secondsLeft: 100 - number },
    ...changes,
  };
}

const line = (number: number, loss: string, left: string) =>
  `step ${number}/100  loss ${loss}  12K tokens/s (31.4% of peak)  gradient 0.50  busiest expert 1.50×  recycled 10.0%  0.91 GB  ${left} to go`;

test("a log gets a plain line every five seconds, and the last step in any case", () => {
  const { clock, recorder, show } = record();
  for (const number of [1, 2, 3, 4, 5, 6, 7, 100]) {
    clock.ms = number * 1000;
    show(step(number));
  }
  assert.deepEqual(recorder.text.split("\n"), [
    line(1, "4.000", "1:39"),
    line(6, "4.000", "1:34"),
    line(100, "4.000", "0:00"),
    "",
  ]);
});

test("measurements and checkpoints are lines that stay", () => {
  const { recorder, show } = record();
  show({ type: "evaluation", step: 10, bitsPerByte: 1.23456, crossEntropy: 2.5 });
  show({ type: "checkpoint", step: 10, path: "runs/a/checkpoints/step-10" });
  assert.equal(
    recorder.text,
    "step 10: held-out text 1.2346 bits per byte (loss 2.5000)\nstep 10: saved runs/a/checkpoints/step-10\n",
  );
});

test("a terminal gets one line that is redrawn, cut to its width, and makes way for lines that stay", () => {
  const { clock, recorder, show } = record({ isTTY: true, columns: 40 });
  show(step(1));
  clock.ms = 50;
  show(step(2)); // too soon to be drawn
  clock.ms = 200;
  show(step(3));
  show({ type: "evaluation", step: 3, bitsPerByte: 1, crossEntropy: 2 });
  const shown = (number: number) => `\r\u001b[2K${line(number, "4.000", "").slice(0, 38)}…`;
  const stays = "step 3: held-out text 1.0000 bits per byte (loss 2.0000)\n";
  assert.equal(recorder.text, `${shown(1)}${shown(3)}\r\u001b[2K${stays}`);
});

test("loss and speed are running means, and a step that was not finite does not spoil them", () => {
  const { clock, recorder, show } = record();
  const losses = [4, 2, Number.NaN, 3, 3];
  for (const [index, crossEntropy] of losses.entries()) {
    clock.ms = index * 10_000;
    show(step(index + 1, { crossEntropy }));
  }
  const shown = [...recorder.text.matchAll(/loss (\S+)/g)].map((match) => match[1]);
  assert.deepEqual(shown, ["4.000", "3.800", "NaN", "3.000", "3.000"]);
});

test("dropped tokens are told where there are any", () => {
  const { recorder, show } = record();
  show(step(1, { droppedShare: 0.025 }));
  assert.match(recorder.text, / recycled 10\.0% {2}dropped 2\.5% {2}0\.91 GB {2}1:39 to go\n$/);
});

test("a run is called what other commands can find it by", () => {
  assert.equal(modelName({ name: "a", runFolder: "runs/a" }), "a");
  assert.equal(modelName({ name: "a", runFolder: "./runs/a" }), "a");
  assert.equal(modelName({ name: "a", runFolder: "elsewhere/a" }), "elsewhere/a");
  assert.equal(modelName({ name: "a", runFolder: "my runs/a" }), '"my runs/a"');
});
