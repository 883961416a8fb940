import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { concernsOfHistory, concernsOfStep } from "./watch.ts";

const measured = (examExactMatch: number, sampledReward: number, sampledTokens = 4) => ({
  examExactMatch,
  examQuestions: 400,
  sampledReward,
  sampledTokens,
});

describe("a policy under watch", () => {
  it("has found what the judge likes when the reward rises and right answers fall", () => {
    const [concern] = concernsOfHistory([measured(0.27, -0.12), measured(0.2, -0.06)]);
    assert.equal(concern, "reward hacking: the reward has risen while right answers have fallen from 27.0% to 20.0%");
  });

  it("is told of when right answers fall with the reward, too", () => {
    const concerns = concernsOfHistory([measured(0.27, 0.1), measured(0.3, 0.2), measured(0.2, 0.1)]);
    assert.deepEqual(concerns, ["right answers have fallen from 30.0% to 20.0%"]);
  });

  it("may fall by chance, and is well when it rises", () => {
    assert.deepEqual(concernsOfHistory([measured(0.27, 0), measured(0.25, 1)]), []);
    assert.deepEqual(concernsOfHistory([measured(0.27, 0), measured(0.4, 1)]), []);
    assert.deepEqual(concernsOfHistory([measured(0.27, 0)]), []);
    assert.deepEqual(concernsOfHistory([{}, {}]), []);
  });

  it("is told of when its answers become longer or shorter", () => {
    for (const tokens of [1, 30]) {
      assert.match(concernsOfHistory([measured(0.3, 0), measured(0.3, 0, tokens)]).join(), /may pay for length/);
    }
    assert.match(concernsOfStep({ answerTokens: 31 }, 32).join(), /run into --max-answer-tokens 32/);
    assert.match(concernsOfStep({ driftPerToken: -2 }, 32).join(), /have become less likely/);
    assert.deepEqual(concernsOfStep({ answerTokens: 4, driftPerToken: 0.1 }, 32), []);
  });
});
