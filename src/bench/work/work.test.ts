import assert from "node:assert/strict";
import { test } from "node:test";
import { liveMemory } from "../../kernels/bindings/memory.ts";
import { gemmWork } from "../gemm-shapes.ts";
import type { AttentionWork, GenerateWork, TrainWork, Work } from "../protocol.ts";
import { AttentionWorkload } from "./attention.ts";
import { checkAttention } from "./attention-check.ts";
import { GemmWorkload } from "./gemm.ts";
import { TrainWorkload } from "./train.ts";
import { measure } from "./workload.ts";

const attention: AttentionWork = {
  kind: "attention",
  computeType: "f32",
  ...{ sequences: 2, length: 37, heads: 4, keyValueHeads: 2, headDim: 16 },
};
const training: TrainWork = {
  kind: "train",
  computeType: "bf16",
  ...{ layers: 2, hidden: 32, heads: 2, keyValueHeads: 1, ffn: 40, experts: 2, vocabulary: 96 },
  ...{ batch: 2, sequenceLength: 16, seed: 1, recomputation: "none" },
};

function workloadOf(work: Exclude<Work, GenerateWork>, threads: number) {
  if (work.kind === "gemm") return new GemmWorkload(work, threads);
  return work.kind === "train" ? new TrainWorkload(work, threads) : new AttentionWorkload(work, threads);
}

const works: Exclude<Work, GenerateWork>[] = [
  gemmWork("33x65x70", "bf16"),
  gemmWork("40x24x31/4", "f32"),
  gemmWork("gradient:41x24x31/3", "bf16"),
  attention,
  { ...attention, computeType: "bf16" },
  training,
];

for (const work of works) {
  test(`the same bits on 1 and 2 threads, within what f64 allows, and all memory given back: ${JSON.stringify(work)}`, () => {
    const before = liveMemory();
    const digests = [1, 2, 2].map((threads) => {
      using workload = workloadOf(work, threads);
      const { largestError, allowedError } =
        "check" in workload ? workload.check() : { largestError: 0, allowedError: 0 };
      assert.ok(largestError <= allowedError, `${largestError} > ${allowedError}`);
      const seconds = measure(workload, 0.002);
      assert.ok(Object.values(seconds).every((one) => one >= 0));
      // training goes on with every step: only those that made as many are equal
      using fresh = workloadOf(work, threads);
      fresh.time(2);
      return fresh.digest();
    });
    assert.equal(new Set(digests).size, 1);
    assert.deepEqual(liveMemory(), before);
  });
}

test("the check of attention sees one wrong value in each result", () => {
  const work: AttentionWork = { ...attention, sequences: 1, length: 3, heads: 1, keyValueHeads: 1, headDim: 2 };
  const arrays = {
    q: Float32Array.of(0, 0, 0, 0, 0, 0),
    k: Float32Array.of(1, 0, 0, 1, 1, 1),
    v: Float32Array.of(3, 0, 0, 3, 3, 3),
    dout: Float32Array.of(0, 0, 0, 0, 0, 0),
    // equal scores: the mean of the values so far
    out: Float32Array.of(3, 0, 1.5, 1.5, 2, 2),
    dq: new Float32Array(6),
    dk: new Float32Array(6),
    dv: new Float32Array(6),
  };
  const { allowedError, largestError } = checkAttention(work, arrays);
  assert.ok(largestError <= allowedError);
  for (const name of ["out", "dq", "dk", "dv"] as const) {
    const broken = { ...arrays, [name]: arrays[name].with(5, arrays[name][5]! + 0.01) };
    assert.ok(checkAttention(work, broken).largestError > allowedError, name);
  }
});
