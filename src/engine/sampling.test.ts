import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tinyTokenizer } from "../../test/tiny-model.ts";
import { normals } from "../../test/twins/support.ts";
import { streamKeys } from "../base/random.ts";
import { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { drawableTokens, type RowToSample, sampleRows, TokenCounts } from "./sampling.ts";

const tokenizer = tinyTokenizer();
const vocabularySize = 307;
const drawable = drawableTokens(tokenizer, vocabularySize);

function logitsOf(execution: Execution, rows: number, change: (values: Float32Array) => void = () => {}): Tensor {
  const values = Float32Array.from(normals(rows * vocabularySize, 5, "f32", 2));
  change(values);
  const tensor = execution.arena.tensor("f32", rows, vocabularySize);
  tensor.setFloats(values);
  return tensor;
}

function row(changes: Partial<RowToSample> = {}): RowToSample {
  const keys = streamKeys(1, "sample", 0);
  return { settings: { temperature: 1 }, keys, index: 0, counts: new TokenCounts([]), ...changes };
}

describe("the rows of a step", () => {
  it("are the same on any number of threads", () => {
    const tokensOn = (threads: number) => {
      using execution = new Execution({ threads, computeType: "f32" });
      const rows = Array.from({ length: 33 }, (_, index) => row({ index, topLogprobs: index % 3 }));
      return sampleRows(execution, logitsOf(execution, rows.length), rows, drawable);
    };
    assert.deepEqual(tokensOn(2), tokensOn(1));
  });

  it("each have the token they would have alone", () => {
    using execution = new Execution({ threads: 2, computeType: "f32" });
    const rows = Array.from({ length: 40 }, (_, index) =>
      row({ index, settings: { temperature: 0.7 + index / 20, topK: 20 + index, topP: 0.9 } }),
    );
    const logits = logitsOf(execution, rows.length);
    const together = sampleRows(execution, logits, rows, drawable).map(({ token }) => token);
    const alone = rows.map((one, at) => sampleRows(execution, logits.rows(at, 1), [one], drawable)[0]!.token);
    assert.deepEqual(together, alone);
    assert.ok(new Set(together).size > 10);
  });

  it("never have an id that no token has, nor one that the grammar forbids", () => {
    using execution = new Execution({ threads: 1, computeType: "f32" });
    const logits = logitsOf(execution, 1, (values) => values.fill(50, tokenizer.vocabularySize));
    const permitted = new Int32Array(10);
    permitted[2] = 0b101;
    for (let index = 0; index < 50; index++) {
      const [free] = sampleRows(execution, logits, [row({ index })], drawable);
      assert.ok(free!.token! < tokenizer.vocabularySize);
      const [bound] = sampleRows(execution, logits, [row({ index, mask: permitted })], drawable);
      assert.ok([64, 66].includes(bound!.token!));
    }
  });

  it("are penalized and biased as asked", () => {
    using execution = new Execution({ threads: 1, computeType: "f32" });
    const logits = logitsOf(execution, 1, (values) => {
      values.fill(0);
      values[5] = 4;
      values[6] = 3;
      values[7] = 2;
    });
    const counts = new TokenCounts([5]);
    counts.push(6);
    counts.push(6);
    const greedy = (settings: Partial<RowToSample["settings"]>) =>
      sampleRows(execution, logits, [row({ settings: { temperature: 0, ...settings }, counts })], drawable)[0]!.token;
    assert.equal(greedy({}), 5);
    assert.equal(greedy({ repetitionPenalty: 3 }), 7, "of prompt and answer: 4/3, 3/3, 2");
    assert.equal(greedy({ presencePenalty: 2 }), 5, "the prompt's tokens do not count");
    assert.equal(greedy({ logitBias: [[5, -1.5]] }), 6);
    assert.equal(greedy({ logitBias: [[5, -1.5]], presencePenalty: 0.6 }), 5, "once for presence");
    assert.equal(greedy({ logitBias: [[5, -3]], frequencyPenalty: 0.6 }), 7, "3 − 2 · 0.6 < 2, 4 − 3 < 2");
  });

  it("have log-probabilities over the whole vocabulary, whatever the settings", () => {
    using execution = new Execution({ threads: 1, computeType: "f32" });
    const logits = logitsOf(execution, 1);
    const values = logits.toFloat32Array();
    const logSum = Math.log(values.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const settings = { temperature: 0.3, topK: 1, logitBias: [[9, 100]] as const };
    const [sampled] = sampleRows(execution, logits, [row({ settings, topLogprobs: 4 })], drawable);
    assert.equal(sampled!.token, 9);
    const { logprob, top } = sampled!.error ? assert.fail() : sampled!.logprobs!;
    assert.ok(Math.abs(logprob - (values[9]! - logSum)) < 1e-5);
    assert.equal(top.length, 4);
    for (const [at, one] of top.entries()) {
      assert.ok(Math.abs(one.logprob - (values[one.token]! - logSum)) < 1e-5);
      assert.ok(at === 0 || one.logprob <= top[at - 1]!.logprob);
    }
  });

  it("that are damaged do not harm the others", () => {
    using execution = new Execution({ threads: 2, computeType: "f32" });
    const logits = logitsOf(execution, 3, (values) => {
      values[vocabularySize + 3] = Number.NaN;
    });
    const sampled = sampleRows(execution, logits, [row(), row(), row()], drawable);
    assert.deepEqual(
      sampled.map(({ error }) => error?.code),
      [undefined, "NON_FINITE", undefined],
    );
  });
});
