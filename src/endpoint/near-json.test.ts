import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { readNearJson } from "./near-json.ts";
import { readStructured } from "./structured.ts";

describe("JSON that is nearly right", () => {
  it("is read as it was meant", () => {
    const cases: [string, unknown][] = [
      ['Here it is:\n```json\n{"a": [1, 2,],}\n```\nDone.', { a: [1, 2] }],
      ["{'a': 'it\\'s', b: True, c: None}", { a: "it's", b: true, c: null }],
      ['{"a": "say "hi" to her", "b": 1}', { a: 'say "hi" to her', b: 1 }],
      ['{"a": "line\nline", "b": "\\frac{1}{2} \\alpha"}', { a: "line\nline", b: "\frac{1}{2} \\alpha" }],
      ['{"a": 1 "b": 2}', { a: 1, b: 2 }],
      ['{"a": {"b": [1, {"c": 2', { a: { b: [1, { c: 2 }] } }],
      ["{“问题”：“多少？”，“答案”：“三”}", { 问题: "多少？", 答案: "三" }],
      ['[ // first\n "a", /* second */ "b" ]', ["a", "b"]],
      ['{"a": "\\u4f60\\u59", "b": 1e3}', { a: "你\\u59", b: 1000 }],
      ["no JSON at all", undefined],
      ["{}", {}],
    ];
    for (const [text, expected] of cases) assert.deepEqual(readNearJson(text), expected, text);
  });

  it("that is right is read as JSON.parse reads it, in a fence too", () => {
    const value = fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()));
    fc.assert(
      fc.property(value, (one) => {
        const json = JSON.stringify(one);
        assert.deepEqual(readNearJson(json), JSON.parse(json));
        assert.deepEqual(readNearJson(`\`\`\`json\n${json}\n\`\`\``), JSON.parse(json));
      }),
      { seed: 20241104, numRuns: 300 },
    );
  });

  it("never ends in an error or without end", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      "'",
      ":",
      ",",
      "\\",
      "\\u",
      "a",
      "1",
      "//",
      "/*",
      "\n",
      "：",
      "🐧",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (some) => {
        readNearJson(some.join(""));
      }),
      { seed: 20241104, numRuns: 2000 },
    );
    for (const text of ["[".repeat(2 ** 17), '{"a":'.repeat(2 ** 15), '["'.repeat(2 ** 16)]) readNearJson(text);
    const hostile = readNearJson('{"__proto__": {"x": 1}, a: 2,}') as object;
    assert.equal(Object.getPrototypeOf(hostile), Object.prototype);
    assert.ok(Object.hasOwn(hostile, "__proto__"));
  });

  it("fits a schema by nearly right names, numbers as text, and a bare list", () => {
    const schema = z.object({ instructions: z.array(z.object({ text: z.string(), level: z.int() })) });
    const meant = { instructions: [{ text: "a", level: 2 }] };
    for (const text of [
      '[{"text": "a", "level": "2"}]',
      '{"Instructions": [{"Text": "a", "levl": 2}]}',
      '{"instruction": [{"text": "a", "level": 2, "why": "more"}]}',
    ]) {
      assert.deepEqual(readStructured(text, schema), { value: meant, isRepaired: true }, text);
    }
    assert.deepEqual(readStructured(JSON.stringify(meant), schema), { value: meant, isRepaired: false });
    assert.match((readStructured('{"instructions": 3}', schema) as { fault: string }).fault, /^instructions/);
  });
});
