import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { RookeryEvent } from "../base/events.ts";
import {
  decodeOptions,
  decodeWithTokenizer,
  encodeOptions,
  encodeWithTokenizer,
  trainTokenizer,
  trainTokenizerOptions,
} from "./commands.ts";
import { measureCompression } from "./compression.ts";
import { Tokenizer } from "./tokenizer.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-text-commands-"));
after(() => fs.rmSync(folder, { recursive: true }));

async function* documents(): AsyncGenerator<string> {
  for (let index = 0; index < 2_100; index++) yield `The keeper of light ${index % 7} climbed the steps.\n`;
}

test("a tokenizer is trained from a stream, saved, reported, and used", async () => {
  const out = path.join(folder, "trained");
  const options = trainTokenizerOptions.parse({ vocabularySize: 300, out });
  const events: RookeryEvent[] = [];
  const report = await trainTokenizer(options, { texts: documents(), onEvent: (event) => events.push(event) });
  assert.equal(report.vocabularySize, 300);
  assert.equal(report.documents, 2_100);
  assert.deepEqual(
    report.compression.map((row) => row.sample),
    ["english", "chinese", "code"],
  );
  for (const { bytes, tokens, bytesPerToken } of report.compression) assert.equal(bytesPerToken, bytes / tokens);
  assert.ok(events.some((event) => event.type === "progress" && event.what === "counting words"));

  const tokenizer = await Tokenizer.load(out);
  const text = "The keeper<|eos|>";
  const asText = await encodeWithTokenizer(encodeOptions.parse({}), { tokenizer, text });
  const withSpecials = await encodeWithTokenizer(encodeOptions.parse({ specials: true }), { tokenizer, text });
  assert.equal(asText.tokens.join(""), text);
  assert.equal(withSpecials.tokens.at(-1), "<|eos|>");
  const decoding = decodeOptions.parse({ ids: withSpecials.ids, skipSpecials: true });
  assert.equal(decodeWithTokenizer(decoding, { tokenizer }).text, "The keeper");
});

test("characters are counted as code points of the normalised text", async () => {
  const out = path.join(folder, "counted");
  await trainTokenizer({ vocabularySize: 290, minFrequency: 1, out }, { texts: ["seas and seas"] });
  const rows = await measureCompression(await Tokenizer.load(out), { smile: "🙂e\u0301", none: "" });
  assert.deepEqual(rows, [
    { sample: "smile", characters: 2, bytes: 6, tokens: 6, charactersPerToken: 2 / 6, bytesPerToken: 1 },
    { sample: "none", characters: 0, bytes: 0, tokens: 0, charactersPerToken: 0, bytesPerToken: 0 },
  ]);
});

test("a raised signal stops the reading, and nothing is written", async () => {
  const out = path.join(folder, "stopped");
  const stopping = trainTokenizer(
    { vocabularySize: 300, minFrequency: 1, out },
    { texts: documents(), signal: AbortSignal.abort() },
  );
  await assert.rejects(stopping, { code: "INTERRUPTED" });
  assert.ok(!fs.existsSync(out));
});
