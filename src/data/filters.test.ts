import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { filterReason, repeatedShare } from "./filters.ts";
import { dataOptionsSchema } from "./options.ts";

const { filters } = dataOptionsSchema.parse({});
const prose = Array.from({ length: 80 }, (_, i) => `Sentence ${i * 7919} says that ${i * 104_729} is a number.`).join(
  " ",
);

test("each rule drops what it names and leaves prose alone", () => {
  assert.equal(filterReason(prose, filters), null);
  assert.equal(filterReason("这是一段足够长的中文文字,不应该被任何规则删除。", filters), null);
  assert.equal(filterReason("too short", filters), "tooShort");
  assert.equal(filterReason(prose, { ...filters, maxCharacters: 100 }), "tooLong");
  assert.equal(filterReason(prose, { ...filters, maxLineCharacters: 500 }), "longLine");
  assert.equal(filterReason(prose.replaceAll(". ", ".\n"), { ...filters, maxLineCharacters: 500 }), null);
  assert.equal(filterReason(`${prose} ${Buffer.from(prose).toString("base64")}`, filters), "longWord");
  assert.equal(filterReason(`${prose}${"\u0000".repeat(60)}`, filters), "garbled");
  assert.equal(filterReason(`${prose}${"\ufffd".repeat(60)}`, filters), "garbled");
  assert.equal(filterReason("tab\tand\r\nform\ffeed are no garbage", { ...filters, maxGarbledShare: 0 }), null);
  assert.equal(filterReason("buy now, and cheaply! ".repeat(50), filters), "repetitive");
});

test("repeatedShare counts what has come before, whatever the script", () => {
  assert.equal(repeatedShare(""), 0);
  assert.equal(repeatedShare("short text"), 0);
  assert.ok(repeatedShare(prose.slice(0, 11) + prose) < 0.5);
  for (const unit of ["abcdefghijklmnopqrstuvwxyz ", "企鹅是一种不会飞的鸟类,生活在南半球。", "a"]) {
    assert.ok(repeatedShare(unit.repeat(100)) > 0.95, unit);
  }
  // Compared with an exact count: hash collisions are the only difference, and only add.
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "b", "鹅"), minLength: 120, maxLength: 600 }), (text) => {
      const seen = new Set<string>();
      for (let i = 0; i + 12 <= text.length; i++) seen.add(text.slice(i, i + 12));
      const exact = 1 - seen.size / (text.length - 11);
      const share = repeatedShare(text);
      assert.ok(share >= exact - 1e-12 && share < exact + 0.15, `${share} ${exact}`);
    }),
    { seed: 1 },
  );
});
