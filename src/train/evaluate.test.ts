import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyConfig } from "../../test/twins/tiny.ts";
import type { HeldOut, HeldOutBatch } from "../data/held-out.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { evaluate } from "./evaluate.ts";

const config = { ...tinyConfig, vocabularySize: 6, tieWordEmbeddings: false };

/** What each token id scores, whatever came before. */
const logits = [0.5, -1, 2, 0, 1.25, -0.75];
const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
const lossOf = (target: number) => logSum - logits[target]!;

/** Layers of zeros add nothing, rows of ones are their own norm: the logits are the sums of the head's rows. */
function fixedModel(): Transformer {
  const model = new Transformer(config);
  const fill = (name: string, value: (index: number) => number) => {
    const { weight } = model.parameter(name);
    weight.setFloats(Float32Array.from({ length: weight.elements }, (_, index) => value(index)));
  };
  fill("model.embed_tokens.weight", () => 1);
  fill("model.norm.weight", () => 1);
  fill("lm_head.weight", (index) => logits[Math.floor(index / config.hiddenSize)]! / config.hiddenSize);
  return model;
}

function batch(targets: number[], targetBytes: number[]): HeldOutBatch {
  const length = targets.length;
  return {
    ...{ rows: 1, sequenceLength: length },
    tokens: new Int32Array(length).fill(1),
    targets: Int32Array.from(targets),
    positions: Int32Array.from({ length }, (_, index) => index),
    sequences: Int32Array.of(0, length),
    targetBytes: Int32Array.from(targetBytes),
    bytes: targetBytes.reduce((sum, bytes) => sum + bytes, 0),
  };
}

function evaluated(batches: HeldOutBatch[]) {
  using execution = new Execution({ threads: 1, computeType: "f32" });
  using model = fixedModel();
  const bytes = batches.reduce((sum, one) => sum + one.bytes, 0);
  const heldOut: HeldOut = { batches, bytes, documents: 1, tokens: 1 };
  return evaluate(execution, model, heldOut);
}

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-4, `${actual} instead of ${expected}`);

test("bits per byte are the loss of the text alone; control tokens count only in the cross-entropy", () => {
  // token 2 is the control token; the second target of the first batch does not count
  const result = evaluated([batch([3, -1, 2, 5], [4, 0, 0, 2]), batch([0, 2, 2], [1, 0, 0])]);
  const text = lossOf(3) + lossOf(5) + lossOf(0);
  near(result.bitsPerByte, text / Math.LN2 / 7);
  near(result.crossEntropy, (text + 3 * lossOf(2)) / 6);
  assert.deepEqual([result.bytes, result.targets], [7, 6]);
});

test("a token of more bytes costs fewer bits a byte", () => {
  const [short, long] = [evaluated([batch([3, 3], [1, 1])]), evaluated([batch([3, 3], [4, 4])])];
  near(short.bitsPerByte, lossOf(3) / Math.LN2);
  near(long.bitsPerByte, short.bitsPerByte / 4);
  assert.equal(short.crossEntropy, long.crossEntropy);
});
