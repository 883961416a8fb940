import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, nearest } from "./nearest.ts";

test("nearest finds slips of the finger", () => {
  const commands = ["train", "sample", "doctor", "info"];
  assert.equal(nearest("trian", commands), "train");
  assert.equal(nearest("docter", commands), "doctor");
  assert.equal(nearest("samp", commands), "sample");
  assert.equal(nearest("xylophone", commands), undefined);
});

test("nearest prefers the smallest distance and ignores case and separators", () => {
  assert.equal(nearest("learning_rate", ["learnRate", "learningRate"]), "learningRate");
  assert.equal(nearest("LEARNING-RATE", ["learningRate"]), "learningRate");
});

test("a hostile word is not compared at length", () => {
  assert.equal(nearest("a".repeat(1_000_000), ["a"]), undefined);
  assert.equal(nearest("", ["a"]), undefined);
});

test("the hint lists what is known when nothing is near", () => {
  assert.equal(didYouMean("zzz", ["steps", "tokens"]), "known: steps, tokens");
  assert.equal(didYouMean("step", ["steps", "tokens"]), 'did you mean "steps"?');
});
