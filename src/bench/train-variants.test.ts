import assert from "node:assert/strict";
import { test } from "node:test";
import { Contest } from "./contest.ts";
import type { TrainWork } from "./protocol.ts";
import { bestOf, nameOfVariant, type PeerVariant, tryVariant, variantsOf } from "./train-variants.ts";

const work: TrainWork = {
  ...{ kind: "train", computeType: "bf16", layers: 2, hidden: 8, heads: 1, keyValueHeads: 1, ffn: 8, experts: 2 },
  ...{ vocabulary: 8, batch: 1, sequenceLength: 4, seed: 1, recomputation: "none" },
};

test("without bf16 instructions f32 is tried everywhere, and first", () => {
  const names = (isa?: "avx2" | "avx512bf16" | "amx") =>
    variantsOf({ isa, compile: false, computeType: "bf16" }).map((name) => nameOfVariant(name));
  assert.deepEqual(names(), ["loop bf16", "loop f32", "padded bf16", "bmm bf16"]);
  assert.deepEqual(names("amx"), names());
  assert.deepEqual(names("avx512bf16"), names());
  assert.deepEqual(names("avx2").slice(2), ["padded f32", "padded bf16", "bmm f32", "bmm bf16"]);
  const compiled = variantsOf({ compile: true, computeType: "bf16" });
  assert.equal(compiled.filter(({ compile }) => compile).length, names().length);
});

test("the fastest and the leanest are chosen among those that ran", () => {
  const variant = (tokensPerSecond: number | null, peakBytes: number | null): PeerVariant => ({
    ...{ experts: "loop", computeType: "f32", compile: false, tokensPerSecond, peakBytes },
  });
  const [slow, fast, failed, unknown] = [variant(1, 10), variant(2, 20), variant(null, 5), variant(1, null)];
  assert.deepEqual(bestOf([slow, fast, failed, unknown]), { fastest: fast, leanest: slow });
  assert.deepEqual(bestOf([failed]), {});
  assert.deepEqual(bestOf([unknown]), { fastest: unknown });
});

test("a peer that does not start is told with its words, and is no end of the benchmark", async () => {
  const contest = new Contest({ threads: 1 }, { environment: process.env });
  const words = ["-e", "console.error('No module named torch'); process.exit(1)"];
  const program = { name: "pytorch", command: process.execPath, words };
  const [name] = variantsOf({ compile: false, computeType: "bf16" });
  const tried = await tryVariant(contest, program, work, name!, [], 0.1);
  assert.match(tried.error ?? "", /pytorch ended with code 1: No module named torch/);
  assert.equal(tried.tokensPerSecond, null);
});
