import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Dataset } from "../data/dataset.ts";
import { presets } from "../model/presets.ts";
import { modelCard } from "./model-card.ts";
import { trainOptionsSchema } from "./options.ts";
import { segmentsOf } from "./segments.ts";

const evaluation = { bitsPerByte: 1.65432, crossEntropy: 3, bytes: 1000, targets: 300 };

function card(source: string, license: string | null, measured: typeof evaluation | null = evaluation): string {
  const shards = { train: { tokens: 5000, documents: 12 }, heldOut: { tokens: 50, documents: 1 } };
  const dataset = { manifest: { sources: [{ name: source, license, shards }] } } as unknown as Dataset;
  const options = trainOptionsSchema.parse({ seed: 3, batchTokens: 8192 });
  const segments = segmentsOf(options, presets.nano, { main: undefined, annealing: undefined });
  return modelCard({
    ...{
      name: "my-run",
      config: presets.nano,
      options,
      segments,
      dataset,
      steps: 20,
      tokens: 163_840,
      evaluation: measured ?? undefined,
    },
  });
}

test("a card says what the model is, what it was trained on, and how good it is", () => {
  const text = card("letters", "CC0-1.0");
  for (const line of [
    /^---\nlibrary_name: rookery\n/,
    /^# my-run$/m,
    /^\| parameters \| 31\.2M, of which 8\.5M are activated by a token \|$/m,
    /^\| positions, RoPE \| 2048, base 10000 \|$/m,
    /^\| experts \| 8, top-1, and 1 shared \|$/m,
    /^163840 tokens in 20 updates of 8192, seed 3\. .* routing `recycle`/m,
    /^\| letters \| CC0-1\.0 \| 5000 \| 12 \|$/m,
    /^1\.6543 bits per byte on 1000 bytes of held-out text \(300 tokens/m,
    /^rookery train --config config\.json$/m,
  ]) {
    assert.match(text, line);
  }
  assert.match(card("letters", null), /^\| letters \| not stated \|/m);
  assert.match(card("letters", null, null), /Nothing was held out, so nothing was measured\./);
});

const rowOf = (text: string) => text.split("\n").filter((line) => line.endsWith(" | 5000 | 12 |"));

test("names from other people's files cannot become markup, links or lines", () => {
  const hostile =
    "a|b\n# c\r<script>alert(1)</script> [d](https://e.example) `f` **g** ![h](i) @j www.k.example \u202eel";
  const text = card(hostile, hostile);
  assert.equal(text.split("\n").length, card("a", "b").split("\n").length);
  const row = rowOf(text)[0] ?? "";
  assert.equal(row.split("|").length, 6);
  assert.doesNotMatch(row, /[\\`*_{}[\]<>#~$&!@]|:\/\/|www\.|\p{Cc}|\u202e/u);
});

test("whatever the names are, the card keeps its lines and its table", () => {
  const lines = card("a", "b").split("\n").length;
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (source, license) => {
      const text = card(source, license);
      assert.equal(text.split("\n").length, lines);
      assert.deepEqual(
        rowOf(text).map((row) => row.split("|").length),
        [6],
      );
    }),
    { seed: 5, numRuns: 200 },
  );
});
