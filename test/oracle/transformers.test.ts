/** A model directory that transformers has made (test/oracle/pytorch/transformers_tiny.py), and the logits it gave there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CachedAttention, KeyValueCache } from "../../src/engine/cache.ts";
import { loadTransformer } from "../../src/interop/load.ts";
import { readModelDirectory } from "../../src/interop/model-directory.ts";
import { dropless } from "../../src/model/router.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { logits } from "../../src/tensor/ops/linear.ts";
import { relativeError } from "../twins/support.ts";

const folder = join(import.meta.dirname, "pytorch", "hunyuan-v1-moe-tiny");

type Fixture = { tokens: number[]; logits: number[][] };

describe("against transformers: hunyuan_v1_moe", () => {
  for (const rows of [40, 7, 1]) {
    it(`gives the same logits from the model directory, ${rows} tokens at a time`, async () => {
      const fixture = JSON.parse(readFileSync(join(folder, "logits.json"), "utf8")) as Fixture;
      const { model } = await loadTransformer(readModelDirectory(folder));
      using loaded = model;
      using execution = new Execution({ threads: 2, computeType: "f32" });
      loaded.keepPacked(execution.pool, "f32");
      using cache = new KeyValueCache(execution, loaded.config);
      const { arena } = execution;
      for (let start = 0; start < fixture.tokens.length; start += rows) {
        const tokens = fixture.tokens.slice(start, start + rows);
        cache.reserve(tokens.length);
        const attend = new CachedAttention(execution, loaded.config, cache, tokens.length);
        const input = {
          tokens: arena.integers(Int32Array.from(tokens)),
          positions: arena.integers(Int32Array.from(tokens, (_, row) => start + row)),
        };
        const { hidden } = loaded.forward(execution, input, attend, dropless);
        const all = logits(execution, hidden, loaded.head);
        for (let row = 0; row < tokens.length; row++) {
          const actual = all.rows(row, 1).toFloat32Array();
          const expected = fixture.logits[start + row]!;
          const worst = Math.max(...actual.map((value, id) => Math.abs(value - expected[id]!)));
          assert.ok(worst < 1e-4, `position ${start + row}: ${worst} apart`);
          assert.ok(relativeError(actual, expected) < 1e-5, `position ${start + row}`);
        }
        cache.advance(tokens.length);
        arena.reset();
      }
    });
  }
});
