import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyTokenizer } from "../../test/tiny-model.ts";
import { encodeAnswer, encodeSample, promptOf } from "./samples.ts";

const tokenizer = tinyTokenizer();
const typed = "<|extra_0|> <|endoftext|> <|eos|> <|startoftext|>";
const specialsIn = (ids: Int32Array) => [...ids].filter((id) => tokenizer.isSpecial(id));
const controls = (...names: Parameters<typeof tokenizer.controlId>[0][]) =>
  names.map((name) => tokenizer.controlId(name));

test("control tokens that a user, a tool or an answer spells stay text: only the template places any", async () => {
  const { tokens, targets } = await encodeSample(tokenizer, [
    { role: "system", content: typed },
    { role: "user", content: typed },
    { role: "assistant", content: typed },
    { role: "tool", content: typed },
    { role: "assistant", content: typed },
  ]);
  assert.deepEqual(specialsIn(tokens), controls("startOfText", "endOfSystem", "endOfUser", "eos", "eos"));
  // learnt are both answers and what ends them, and nothing of the tool's
  const learnt = [...targets].filter((target) => target >= 0);
  const answer = [...(await tokenizer.encodeText(typed)), tokenizer.controlId("eos")];
  assert.deepEqual(learnt, [...answer, ...answer]);
});

test("of an answer to a prompt the last turn alone is learnt", async () => {
  const prompt = [
    { role: "user", content: "a" },
    { role: "assistant", content: typed },
    { role: "user", content: typed },
  ] as const;
  const sample = await encodeAnswer(tokenizer, prompt, "the sea");
  assert.deepEqual(
    [...sample.targets].filter((target) => target >= 0),
    [...(await tokenizer.encodeText("the sea")), tokenizer.controlId("eos")],
  );
  assert.deepEqual(
    specialsIn(promptOf(sample)),
    controls("startOfText", "endOfUser", "eos", "startOfText", "endOfUser"),
  );
});
