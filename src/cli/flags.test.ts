import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { toOptionSchema } from "../base/option-schema.ts";
import { parseWords } from "./flags.ts";

test("lists of numbers and of words from a list may stand with commas; names with commas stay whole", () => {
  const schema = toOptionSchema(
    z.strictObject({
      model: z.string(),
      lengths: z.array(z.int()).optional(),
      kinds: z.array(z.enum(["a", "b"])).default(["a"]),
      files: z.array(z.string()).default([]),
    }),
  );
  const words = "m --lengths 512,1024 --lengths 2048 --kinds a,b --files x,y".split(" ");
  const { layers } = parseWords(words, "cook", schema, ["model"]);
  assert.deepEqual(layers.at(-1)?.values, {
    model: "m",
    lengths: ["512", "1024", "2048"],
    kinds: ["a", "b"],
    files: ["x,y"],
  });
});
