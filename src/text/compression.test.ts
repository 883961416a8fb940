import assert from "node:assert/strict";
import { test } from "node:test";
import { BpeTrainer } from "./bpe-trainer.ts";
import { measureCompression } from "./compression.ts";
import { Tokenizer } from "./tokenizer.ts";

function trained(text: string, vocabularySize: number): Tokenizer {
  const trainer = new BpeTrainer();
  trainer.add(text);
  return Tokenizer.fromTraining(trainer.train({ vocabularySize }));
}

test("English, Chinese and code are reported, and special tokens are parsed only when asked", async () => {
  const tokenizer = trained("The keeper of light climbed the steps.\n".repeat(7), 300);
  const rows = await measureCompression(tokenizer);
  assert.deepEqual(
    rows.map((row) => row.sample),
    ["english", "chinese", "code"],
  );
  for (const { bytes, tokens, bytesPerToken } of rows) assert.equal(bytesPerToken, bytes / tokens);

  const text = "The keeper<|eos|>";
  assert.equal(tokenizer.decode(await tokenizer.encodeText(text)), text);
  const withSpecials = await tokenizer.encodeWithSpecials(text);
  assert.equal(withSpecials.at(-1), tokenizer.controlId("eos"));
  assert.equal(tokenizer.decode(withSpecials, { skipSpecialTokens: true }), "The keeper");
});

test("characters are counted as code points of the normalised text", async () => {
  const rows = await measureCompression(trained("seas and seas", 290), { smile: "🙂e\u0301", none: "" });
  assert.deepEqual(rows, [
    { sample: "smile", characters: 2, bytes: 6, tokens: 6, charactersPerToken: 2 / 6, bytesPerToken: 1 },
    { sample: "none", characters: 0, bytes: 0, tokens: 0, charactersPerToken: 0, bytesPerToken: 0 },
  ]);
});
