import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { plannedSeconds, secondsLeftFor, type TimedStage } from "./recipe-time.ts";

const stages: TimedStage[] = ["pretraining", "longContext", "sft", "reward", "dpo"];

test("stages that keep to the plan take what was planned", () => {
  const trained = stages.reduce((sum, stage) => sum + plannedSeconds(stage, 10), 0);
  let elapsedSeconds = 0;
  for (const stage of stages) {
    const seconds = secondsLeftFor(stage, 10, elapsedSeconds);
    assert.ok(Math.abs(seconds - plannedSeconds(stage, 10)) < 1e-6, stage);
    // the rest of the time goes by beside the stages
    elapsedSeconds += seconds * (600 / trained);
  }
});

test("what took too long shortens the stages after it, and the whole ends in time unless they would be halved", () => {
  const late = secondsLeftFor("sft", 10, 400);
  assert.ok(late < plannedSeconds("sft", 10));
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 1000, noNaN: true }),
      fc.double({ min: 0, max: 2, noNaN: true }),
      (minutes, share) => {
        const elapsedSeconds = 60 * minutes * share;
        for (const stage of stages) {
          const [seconds, planned] = [secondsLeftFor(stage, minutes, elapsedSeconds), plannedSeconds(stage, minutes)];
          assert.ok(seconds >= planned / 2 && seconds <= planned);
          assert.ok(seconds <= Math.max(planned / 2, 60 * minutes - elapsedSeconds));
        }
      },
    ),
  );
});
