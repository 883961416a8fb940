import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { phaseMixture } from "./mixture.ts";

const sources = [
  { name: "a", entry: 0, tokens: 300 },
  { name: "b", entry: 0, tokens: 100 },
  { name: "c", entry: 1, tokens: 50 },
];

test("weights are shares of the tokens, divided by size inside of an entry", () => {
  const entries = [
    { path: "starter", weight: 1 },
    { path: "c.txt", weight: 2, annealingWeight: 0 },
  ];
  assert.deepEqual(phaseMixture(entries, sources, "main"), { a: 0.75, b: 0.25, c: 2 });
  assert.deepEqual(phaseMixture(entries, sources, "annealing"), { a: 0.75, b: 0.25, c: 0 });
  assert.equal(phaseMixture([{ path: "starter" }, { path: "c.txt" }], sources, "main"), undefined);
});

test("half a mixture, or an empty one, is a mistake", () => {
  const refused = (error: unknown): boolean => error instanceof RookeryError && error.code === "INVALID_OPTION";
  assert.throws(() => phaseMixture([{ path: "starter" }, { path: "c.txt", weight: 1 }], sources, "main"), refused);
  assert.throws(
    () => phaseMixture([{ path: "starter" }, { path: "c", annealingWeight: 1 }], sources, "annealing"),
    refused,
  );
  const zero = [
    { path: "starter", weight: 0 },
    { path: "c.txt", weight: 0 },
  ];
  assert.throws(() => phaseMixture(zero, sources, "main"), refused);
  const empty = [{ name: "a", entry: 0, tokens: 0 }];
  assert.throws(() => phaseMixture([{ path: "a.txt", weight: 1 }], empty, "main"), refused);
});
