import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import tokenizers from "tokenizers";
import { splitForEncoding } from "./blocks.ts";
import { characterClass, classOf, isNewerThanEncoder } from "./character-class.ts";
import { javascriptSplitPattern, splitPattern } from "./pattern.ts";
import { splitPieces } from "./splitter.ts";
import { makeTokenizerJson } from "./tokenizer-file.ts";

function pieces(text: string): string[] {
  const found: string[] = [];
  splitPieces(text, (start, end) => found.push(text.slice(start, end)));
  return found;
}

function nativeSplit(pattern: string, behavior = "Isolated"): tokenizers.PreTokenizer {
  const json = makeTokenizerJson({ tokens: [], merges: [] });
  const split = { type: "Split", pattern: { Regex: pattern }, behavior, invert: false };
  const native = tokenizers.Tokenizer.fromString(JSON.stringify({ ...json, added_tokens: [], pre_tokenizer: split }));
  return native.getPreTokenizer()!;
}

// Characters on which the alternatives of the pattern decide, so that short texts meet all of them.
const decisive = [
  ..." \t\n\r'.!<|>-sStTrReEvVmMlLdDaZ019",
  "\u0085",
  "\u00a0",
  "\ufeff",
  "\u2028",
  "\u3000",
  "ſ",
  "é",
  "\u0301",
];
const decisiveText = fc
  .array(fc.constantFrom(...decisive, "海", "。", "½", "٣", "🙂", "𝐀", "𐒠", "K"), { maxLength: 24 })
  .map((characters) => characters.join(""));
const anyText = fc.oneof(decisiveText, fc.string({ unit: "binary", maxLength: 40 }));

test("pieces of known texts", () => {
  const known: [string, string[]][] = [
    ["The year is 2024.", ["The", " year", " is", " ", "2", "0", "2", "4", "."]],
    ["I'm  fine\n\n  ok", ["I", "'m", " ", " fine", "\n\n", " ", " ok"]],
    ["WE'LL they'Ve 'sun", ["WE", "'LL", " they", "'Ve", " '", "sun"]],
    ["'sun", ["'s", "un"]],
    ["it'ſun", ["it", "'ſ", "un"]],
    ["a\u0085\u0085b", ["a", "\u0085", "\u0085b"]],
    ["a\ufeff\ufeffb", ["a", "\ufeff\ufeff", "b"]],
    ["\r\n\r\nfoo\tbar", ["\r\n\r\n", "foo", "\tbar"]],
    ["x = {\n\n  y", ["x", " =", " {\n\n", " ", " y"]],
    ["end  \n \n  ", ["end", "  \n \n", "  "]],
    ["①½٣", ["①", "½", "٣"]],
    ["海水。咸的", ["海水", "。咸的"]],
    ["", []],
  ];
  for (const [text, expected] of known) assert.deepEqual(pieces(text), expected, JSON.stringify(text));
});

test("the splitter equals the pattern in JavaScript on any text", () => {
  // Where Node's Unicode is newer than the encoder's, the splitter follows the encoder.
  const knownToBoth = anyText.map((text) =>
    [...text.toWellFormed()].filter((character) => !isNewerThanEncoder(character.codePointAt(0)!)).join(""),
  );
  fc.assert(
    fc.property(knownToBoth, (text) => {
      assert.deepEqual(pieces(text), text.match(javascriptSplitPattern) ?? []);
    }),
    { seed: 1, numRuns: 3000 },
  );
});

test("the splitter equals the pattern in the tokenizers package on any text", () => {
  const preTokenizer = nativeSplit(splitPattern);
  fc.assert(
    fc.property(anyText, (text) => {
      const wellFormed = text.toWellFormed();
      const expected = preTokenizer.preTokenizeString(wellFormed).map(([piece]) => piece);
      assert.deepEqual(pieces(wellFormed), expected);
    }),
    { seed: 2, numRuns: 3000 },
  );
});

test("a piece that stands alone stays whole", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      for (const piece of pieces(text.toWellFormed())) assert.deepEqual(pieces(piece), [piece]);
    }),
    { seed: 8, numRuns: 3000 },
  );
});

test("every code point has the class that the tokenizers package gives it", () => {
  const { letter, number, space, lineEnd } = characterClass; // what is in none of these is `other` on both sides
  const classes: [string, number[]][] = [
    [String.raw`\p{L}+`, [letter]],
    [String.raw`\p{N}+`, [number]],
    [String.raw`\s+`, [space, lineEnd]],
  ];
  const all = Array.from({ length: 0x110000 }, (_, codePoint) => codePoint).filter((c) => c < 0xd800 || c > 0xdfff);
  const text = all.map((codePoint) => String.fromCodePoint(codePoint)).join("");
  for (const [pattern, expected] of classes) {
    const inClass = new Set(all.filter((codePoint) => expected.includes(classOf(codePoint))));
    const kept = nativeSplit(pattern, "Removed")
      .preTokenizeString(text)
      .flatMap(([piece]) => [...piece]);
    const wrong = kept.filter((character) => inClass.has(character.codePointAt(0)!));
    assert.deepEqual(wrong, [], pattern);
    assert.equal(kept.length, all.length - inClass.size, pattern);
  }
});

test("blocks for encoding are cut only where the pattern cuts", () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 8 }), (text, target) => {
      const whole = text.toWellFormed();
      const blocks = [...splitForEncoding(whole, target)];
      assert.equal(blocks.join(""), whole);
      const separately = blocks.flatMap((block) => pieces(block.normalize("NFC")));
      assert.deepEqual(separately, pieces(whole.normalize("NFC")));
    }),
    { seed: 3, numRuns: 3000 },
  );
});

test("a long text is cut near the size that is asked for", () => {
  const text = "One line of text, or two.\n".repeat(100);
  const blocks = [...splitForEncoding(text, 200)];
  assert.ok(blocks.length > 10);
  for (const block of blocks) assert.ok(block.length < 220);
});
