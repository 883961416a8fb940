import assert from "node:assert/strict";
import { test } from "node:test";
import { doubtOf } from "./chat-doubts.ts";

const doubtIn = (answer: string, question = "Tell me.") =>
  doubtOf([
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ])?.doubt;

test("what looks personal is found wherever it stands", () => {
  for (const answer of [
    "Write to jane.doe+mail@post-office.org today.",
    "(jane@example.com)",
    "The card is 4111 1111 1111 1111.",
    `The key is sk-${"a1".repeat(12)}.`,
  ])
    assert.equal(doubtIn(answer), "personal", answer);
  for (const answer of ["Meet me @home at 5.", "2 + 2 = 4", "user@localhost"]) assert.equal(doubtIn(answer), undefined);
});

test("an answer of megabytes without a space overflows nothing", () => {
  assert.equal(doubtIn("sk-".repeat(2 ** 21)), "personal");
  assert.equal(doubtIn("a".repeat(2 ** 19)), "noEnd");
});

test("an answer in another script than its question, and a refusal", () => {
  assert.equal(
    doubtIn("今天天气很好，阳光明媚，适合出去走走看看风景。", "How is the weather today, and what should I wear?"),
    "otherScript",
  );
  assert.equal(doubtIn("I'm sorry, but I cannot help with that."), "refusal");
});
