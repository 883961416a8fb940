import assert from "node:assert/strict";
import { it } from "node:test";
import { tinyModel, tinyTokenizer } from "../../test/tiny-model.ts";
import * as twin from "../../test/twins/sample.ts";
import { normals } from "../../test/twins/support.ts";
import { Execution } from "../tensor/execution.ts";
import { logits as headLogits } from "../tensor/ops/linear.ts";
import { promptLogprobs } from "./logprobs.ts";
import { drawableTokens } from "./sampling.ts";

it("log-probabilities of a prompt are those of its rows", () => {
  using model = tinyModel();
  using execution = new Execution({ threads: 2, computeType: "f32" });
  model.keepPacked(execution.pool, "f32");
  const { hiddenSize, vocabularySize } = model.config;
  const rows = 150;
  const hidden = execution.arena.tensor("f32", rows, hiddenSize);
  hidden.setFloats(Float32Array.from(normals(rows * hiddenSize, 3)));
  const targets = Int32Array.from({ length: rows }, (_, row) => (row * 37) % 290);
  const drawable = drawableTokens(tinyTokenizer(), vocabularySize);
  const found = promptLogprobs(execution, hidden, model.head, targets, 3, drawable);
  assert.equal(found.length, rows);
  const logits = headLogits(execution, hidden, model.head).toFloat32Array();
  for (const [row, { token, logprob, top }] of found.entries()) {
    const exact = twin.logprobs(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize));
    assert.equal(token, targets[row]);
    assert.ok(Math.abs(logprob - exact[token]!) < 1e-4);
    assert.equal(top.length, 3);
    for (const one of top) assert.ok(Math.abs(one.logprob - exact[one.token]!) < 1e-4);
  }
});
