import assert from "node:assert/strict";
import { it } from "node:test";
import { figuresOf, percentilesOf, promptOf, runLoad } from "./serve-load.ts";
import type { LoadTarget } from "./serve-target.ts";

const shape = { concurrency: 3, requests: 7, promptTokens: 20, outputTokens: 5, sharedTokens: 8, number: 1 };

it("percentiles are values that so many do not exceed", () => {
  const values = Array.from({ length: 100 }, (_, at) => 100 - at);
  assert.deepEqual(percentilesOf(values), { p50: 50, p95: 95, p99: 99 });
  assert.deepEqual(percentilesOf([7]), { p50: 7, p95: 7, p99: 7 });
});

it("prompts begin alike and go on differently, in a load and from one load to another", () => {
  const [one, two] = [promptOf(shape, 0, 100), promptOf(shape, 1, 100)];
  const other = promptOf({ ...shape, number: 2 }, 0, 100);
  assert.deepEqual(one.subarray(0, 8), two.subarray(0, 8));
  assert.notDeepEqual(one.subarray(8), two.subarray(8));
  assert.deepEqual(one.subarray(0, 8), other.subarray(0, 8));
  assert.notDeepEqual(one.subarray(8), other.subarray(8));
  assert.ok(one.every((id) => id >= 0 && id < 100));
});

it("so many clients ask at once, and every answer is counted", async () => {
  let running = 0;
  let most = 0;
  const seen = new Set<number>();
  const target: LoadTarget = {
    name: "fake",
    vocabularySize: 100,
    async *answer({ outputTokens, seed }) {
      seen.add(seed);
      most = Math.max(most, ++running);
      for (let told = 0; told < outputTokens; told++) {
        await null;
        yield { tokens: 1 };
      }
      running--;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const figures = figuresOf([await runLoad(target, shape)]);
  assert.equal(most, 3);
  assert.equal(seen.size, 7);
  assert.equal(figures.outputTokens, 35);
  assert.ok(figures.tokensPerSecond.min > 0 && figures.interTokenLatency !== null);
  assert.deepEqual([figures.cachedPromptTokens, figures.preemptions, figures.liveBytesPerToken], [null, null, null]);
  assert.equal(figuresOf([await runLoad(target, { ...shape, outputTokens: 1 })]).interTokenLatency, null);
});

it("the rounds of a load are one figure each for speed, and one crowd for latencies", () => {
  const round = { outputTokens: 10, cachedPromptTokens: 2, preemptions: 0, liveBytesPerToken: 5 };
  const { tokensPerSecond, timeToFirstToken, cachedPromptTokens, outputTokens } = figuresOf([
    { ...round, seconds: 1, firsts: [1, 2], gaps: [1] },
    { ...round, seconds: 2, firsts: [3], gaps: [1] },
    { ...round, seconds: 5, firsts: [4], gaps: [1] },
  ]);
  assert.deepEqual(tokensPerSecond, { median: 5, min: 2, max: 10 });
  assert.deepEqual(timeToFirstToken, { p50: 2, p95: 4, p99: 4 });
  assert.deepEqual([cachedPromptTokens, outputTokens], [6, 30]);
});
