/** jax-js (WebAssembly) as a peer of `rookery bench gemm`: answers one JSON object a line (see ../README.md). */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { defaultDevice, init, numpy as np, random } from "@jax-js/jax";

const manifest = readFileSync(
  createRequire(import.meta.url)
    .resolve("@jax-js/jax")
    .replace(/dist.*$/, "package.json"),
);
await init();
defaultDevice("wasm");

/** @returns a function that does the work once and waits for it. */
function workOf({ kind, computeType, operation, m, k, n, offsets }) {
  if (kind !== "gemm" || computeType !== "f32") throw new Error("jax-js multiplies f32 alone");
  if (offsets.length > 2) throw new Error("jax-js has no grouped product");
  const uniform = (rows, columns) => random.uniform(random.key(1), [rows, columns]);
  const x = uniform(m, k);
  const other = operation === "product" ? uniform(n, k) : uniform(m, n);
  // arrays are counted by hand: `ref` takes one more, an operation uses one up
  const multiply =
    operation === "product"
      ? () => np.matmul(x.ref, np.transpose(other.ref))
      : () => np.matmul(np.transpose(other.ref), x.ref);
  return async () => {
    const result = multiply();
    await result.blockUntilReady();
    result.dispose();
  };
}

async function measure(work, seconds) {
  const timings = [];
  const start = performance.now();
  do {
    const before = performance.now();
    await work();
    timings.push((performance.now() - before) / 1000);
  } while ((performance.now() - start) / 1000 < seconds);
  timings.sort((a, b) => a - b);
  return timings[timings.length >> 1];
}

let work;
const answers = {
  hello: () => ({ name: "jax-js", version: JSON.parse(manifest).version }),
  prepare: async (question) => {
    work = workOf(question.work);
    await work();
    return {};
  },
  round: async ({ seconds }) => ({ seconds: { product: await measure(work, seconds) } }),
  memory: () => ({ peakBytes: process.resourceUsage().maxRSS * 1024 }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  try {
    console.log(JSON.stringify({ id: question.id, result: await answers[question.method](question) }));
  } catch (error) {
    console.log(JSON.stringify({ id: question.id, error: error.message }));
  }
}
