/** A model directory that transformers has made (test/oracle/pytorch/transformers_tiny.py), and the logits it gave there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Engine } from "../../src/engine/engine.ts";
import { loadTransformer } from "../../src/interop/load.ts";
import { readModelDirectory } from "../../src/interop/model-directory.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { requestOf, tokenizer } from "../engine-support.ts";
import { relativeError } from "../twins/support.ts";

const folder = join(import.meta.dirname, "pytorch", "hunyuan-v1-moe-tiny");

type Fixture = { tokens: number[]; logits: number[][] };

describe("against transformers: hunyuan_v1_moe", () => {
  for (const prefillTokens of [40, 7, 1]) {
    it(`gives the same logits from the model directory, ${prefillTokens} tokens at a time`, async () => {
      const fixture = JSON.parse(readFileSync(join(folder, "logits.json"), "utf8")) as Fixture;
      const { model } = await loadTransformer(readModelDirectory(folder));
      using loaded = model;
      using execution = new Execution({ threads: 2, computeType: "f32" });
      loaded.keepPacked(execution.pool, "f32");
      const settings = { maxBatch: 64, queueLimit: 64, prefillTokens, keyValueCacheType: "bf16", pages: 80 } as const;
      using engine = new Engine({ execution, model: loaded, tokenizer }, { ...settings, maxModelLength: 64 });
      // a prompt for each beginning of the text: they are read side by side, and show the logits after their last token
      const lengths = new Map<number, number>();
      for (let length = 1; length <= fixture.tokens.length; length++) {
        const prompt = Int32Array.from(fixture.tokens.slice(0, length));
        lengths.set(engine.add(requestOf(prompt, { maxTokens: 1 })), length);
      }
      engine.watchLogits((id, _index, actual) => {
        const position = lengths.get(id)! - 1;
        const expected = fixture.logits[position]!;
        const worst = Math.max(...actual.map((value, id) => Math.abs(value - expected[id]!)));
        assert.ok(worst < 1e-4, `position ${position}: ${worst} apart`);
        assert.ok(relativeError(actual, expected) < 1e-5, `position ${position}`);
        lengths.delete(id);
      });
      while (engine.hasWork) engine.step();
      assert.equal(lengths.size, 0, "all positions were seen");
    });
  }
});
