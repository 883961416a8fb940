import { test } from "node:test";
import { attentionTwin, type Sequence } from "../../../test/twins/attention.ts";
import { checkGradient } from "../../../test/twins/ops.ts";
import { dtypes } from "../../../test/twins/support.ts";
import { attention } from "./attention.ts";

const documents = (...lengths: number[]): Sequence[] => {
  let at = 0;
  return lengths.map((length) => {
    const start = at;
    at += length;
    return { queryRow: start, queries: length, keyRow: start, keys: length };
  });
};

const cases = [
  { name: "several documents, two query heads a KV head", heads: 4, kvHeads: 2, sequences: documents(1, 5, 3) },
  { name: "one KV head for all", heads: 3, kvHeads: 1, sequences: documents(4, 3) },
  { name: "as many KV heads", heads: 2, kvHeads: 2, sequences: documents(7) },
  {
    name: "queries that stand at the end of longer keys",
    heads: 2,
    kvHeads: 1,
    sequences: [
      { queryRow: 0, queries: 2, keyRow: 0, keys: 5 },
      { queryRow: 2, queries: 1, keyRow: 5, keys: 3 },
    ],
  },
];

for (const dtype of dtypes) {
  const headDim = 6;
  const scale = Math.fround(1 / Math.sqrt(headDim));
  for (const { name, heads, kvHeads, sequences } of cases) {
    const total = (of: "queries" | "keys") => sequences.reduce((sum, sequence) => sum + sequence[of], 0);
    const shape = { heads, keyValueHeads: kvHeads, headDim };
    const flat = sequences.flatMap(({ queryRow, queries, keyRow, keys }) => [queryRow, queries, keyRow, keys]);
    const keyRows = { shape: [total("keys"), kvHeads * headDim] };

    test(`gradients of attention: ${name} in ${dtype}`, () => {
      checkGradient({
        dtype,
        inputs: { q: { shape: [total("queries"), heads * headDim], scale: 1.5 }, k: keyRows, v: keyRows },
        run: (execution, { q, k, v }) => {
          const table = execution.arena.integers(Int32Array.from(flat), sequences.length, 4);
          return attention(execution, q!, k!, v!, table, shape);
        },
        twin: ({ q, k, v }) => ({
          output: attentionTwin({ q: q!, k: k!, v: v! }, { heads, kvHeads, headDim, scale, sequences }).out,
        }),
      });
    });
  }

  test(`gradients of attention when only the keys have had another consumer, in ${dtype}`, () => {
    const sequences = documents(2, 4);
    const flat = Int32Array.from(sequences.flatMap((s) => [s.queryRow, s.queries, s.keyRow, s.keys]));
    const [heads, kvHeads, rows] = [2, 1, 6];
    const row = { shape: [rows, kvHeads * headDim] };
    const twinShape = { heads, kvHeads, headDim, scale, sequences };
    checkGradient({
      dtype,
      inputs: { q: { shape: [rows, heads * headDim] }, k: row, v: row, other: row },
      // The second attention goes backward first, with other values: then k has a gradient and v has none.
      run: (execution, { q, k, v, other }) => {
        const table = execution.arena.integers(flat, sequences.length, 4);
        const shape = { heads, keyValueHeads: kvHeads, headDim };
        return attention(execution, attention(execution, q!, k!, v!, table, shape), k!, other!, table, shape);
      },
      twin: ({ q, k, v, other }) => {
        const first = attentionTwin({ q: q!, k: k!, v: v! }, twinShape).out;
        return { output: attentionTwin({ q: first, k: k!, v: other! }, twinShape).out };
      },
    });
  });
}
