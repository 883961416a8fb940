import assert from "node:assert/strict";
import { test } from "node:test";
import { cachedShareOf } from "./cached-share.ts";

test("the share is of the answers that tell it, and unknown where none does", () => {
  const of = (promptTokens: number, cachedTokens: number | null) => ({ promptTokens, cachedTokens });
  assert.equal(cachedShareOf([of(100, 50), of(300, null), of(100, 0)]), 0.25);
  assert.equal(cachedShareOf([of(100, null)]), null);
  assert.equal(cachedShareOf([]), null);
});
