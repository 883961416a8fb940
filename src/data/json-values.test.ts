import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { JsonSplitter } from "./json-values.ts";

function split(text: string, chunkSize: number, maxBytes = 1 << 20): ReturnType<JsonSplitter["push"]> {
  const splitter = new JsonSplitter(maxBytes);
  const bytes = new TextEncoder().encode(text);
  const elements: ReturnType<JsonSplitter["push"]> = [];
  for (let at = 0; at < bytes.length; at += chunkSize) elements.push(...splitter.push(bytes.slice(at, at + chunkSize)));
  return [...elements, ...splitter.end()];
}

const parse = (bytes: Uint8Array | null): unknown => JSON.parse(Buffer.from(bytes!).toString());

test("the elements of an array, and values in a row, however they are written and cut", () => {
  const values = fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 6 });
  fc.assert(
    fc.property(values, fc.constantFrom(0, 1, 2), fc.integer({ min: 1, max: 30 }), (list, indent, chunkSize) => {
      const asArray = split(JSON.stringify(list, null, indent), chunkSize);
      assert.deepEqual(
        asArray.map(({ bytes }) => parse(bytes)),
        JSON.parse(JSON.stringify(list)),
      );
      // Not lists: at the top level an array is the container.
      const objects = list.map((value) => ({ value }));
      const inRow = split(objects.map((object) => JSON.stringify(object, null, indent)).join("\n"), chunkSize);
      assert.deepEqual(
        inRow.map(({ bytes }) => parse(bytes)),
        JSON.parse(JSON.stringify(objects)),
      );
      assert.ok([...asArray, ...inRow].every(({ unfinished }) => !unfinished));
    }),
    { seed: 1 },
  );
});

test("an element knows the line it starts at", () => {
  const lines = split('[\n  {"a":\n 1},\n\n  "x\\"]", 3,\n [1]\n]', 3).map(({ line }) => line);
  assert.deepEqual(lines, [2, 5, 5, 6]);
});

test("what is too long is skipped, what is unfinished is said", () => {
  const elements = split(`[1, "${"x".repeat(50)}", 2]`, 4, 10);
  assert.deepEqual(
    elements.map(({ bytes }) => (bytes === null ? null : parse(bytes))),
    [1, null, 2],
  );
  for (const text of ['[{"a": 1}', '[{"a": ', '["abc', '{"a', "[1", "["]) {
    assert.equal(split(text, 2).at(-1)?.unfinished, true, text);
  }
  assert.equal(split("12", 1).at(-1)?.unfinished, false);
  assert.deepEqual(split(" \n ", 1), []);
});

test("rubbish ends, too", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'[]{}",:\\a1 \n') }), (text) => {
      const total = split(text, 3).reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
      assert.ok(total <= text.length);
    }),
    { seed: 2 },
  );
});
