import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cutPoint, PassageCutter } from "./passages.ts";

const piece = fc
  .array(fc.constantFrom("word ", "End. ", "句子。", "\n", "\n\n", "🐧", "verylongword"), { maxLength: 30 })
  .map((parts) => parts.join(""));

test("passages are bounded, in order, and lose nothing but white space", () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), fc.integer({ min: 8, max: 60 }), (pieces, max) => {
      const cutter = new PassageCutter(max);
      let line = 1;
      const passages = pieces.flatMap((text) => {
        const complete = cutter.add(text, line);
        line += text.split("\n").length - 1;
        return complete;
      });
      passages.push(...cutter.end());
      const whole = pieces.join("");
      const bare = (text: string): string => text.replace(/\s/g, "");
      assert.equal(bare(passages.map(({ text }) => text).join("")), bare(whole));
      for (const passage of passages) {
        assert.ok(passage.text.length <= max);
        assert.ok(passage.text.isWellFormed());
        assert.ok(
          whole
            .split("\n")
            .slice(passage.line - 1)
            .join("\n")
            .includes(passage.text.trim().slice(0, 4)),
        );
      }
    }),
    { seed: 1 },
  );
});

test("a cut falls at the best pause of the second half", () => {
  const cut = (text: string, max: number): string => text.slice(0, cutPoint(text, max));
  assert.equal(cut("aaaa bbbb.\n\ncc dd. ee ff gg", 20), "aaaa bbbb.\n\n");
  assert.equal(cut("aaaa bbbbbb\ncc dd. ee ff", 20), "aaaa bbbbbb\n");
  assert.equal(cut('aaaa bbbb "cc dd." ee ff gg', 22), 'aaaa bbbb "cc dd." ');
  assert.equal(cut("这是第一句话。这是第二句话", 10), "这是第一句话。");
  assert.equal(cut("aaaaaaaa bbbbbbbbbb", 12), "aaaaaaaa ");
  assert.equal(cut("aaaaaaaaaaaaaaaa", 8), "aaaaaaaa");
  assert.equal(cut("aaaaaaa🐧aaaaaaa", 8), "aaaaaaa");
});

test("what was dropped does not come back", () => {
  const cutter = new PassageCutter(10);
  cutter.add("lost", 1);
  cutter.drop();
  cutter.add("kept", 7);
  assert.deepEqual(cutter.end(), [{ text: "kept", line: 7 }]);
  assert.deepEqual(cutter.end(), []);
});
