import assert from "node:assert/strict";
import { test } from "node:test";
import { replaceSection } from "./page-section.ts";

test("what stands between two marks is replaced, and a page without them is told", () => {
  const marks = ["<!-- a -->", "<!-- b -->"] as const;
  assert.equal(replaceSection("x <!-- a -->old<!-- b --> y", marks, "\nnew\n"), "x <!-- a -->\nnew\n<!-- b --> y");
  assert.equal(replaceSection("x <!-- b --><!-- a --> y", marks, "new"), undefined);
  assert.equal(replaceSection("x <!-- a --> y", marks, "new"), undefined);
});
