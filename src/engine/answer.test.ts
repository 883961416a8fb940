import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { tinyTokenizer } from "../../test/tiny-model.ts";
import { AnswerText } from "./answer.ts";

const tokenizer = tinyTokenizer();
const parameters = { seed: 20241104, numRuns: 300 };

/** Ids below 256 + merges, special tokens too. */
const tokens = fc.array(fc.integer({ min: 0, max: tokenizer.vocabularySize - 1 }), { maxLength: 40 });

function run(ids: readonly number[], stopStrings: readonly string[]) {
  const answer = new AnswerText(tokenizer, stopStrings);
  const pieces: string[] = [];
  for (const id of ids) {
    const { text, stopped } = answer.push(id);
    pieces.push(text);
    if (stopped) return { pieces, stopped, text: pieces.join("") };
  }
  pieces.push(answer.flush());
  return { pieces, stopped: false, text: pieces.join("") };
}

/** Up to the stop string whose last character comes first; of those that end together the longest. */
function cutPlainly(text: string, stopStrings: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const lengths = stopStrings.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length);
    if (lengths.length > 0) return text.slice(0, end - Math.max(...lengths));
  }
  return text;
}

describe("the text of an answer", () => {
  it("is that of its tokens without special ones", () => {
    fc.assert(
      fc.property(tokens, (ids) => {
        assert.equal(run(ids, []).text, tokenizer.decode(ids, { skipSpecialTokens: true }));
      }),
      parameters,
    );
  });

  it("ends before the stop string that is complete first, however the text is cut into tokens", async () => {
    const fewLetters = fc.string({ unit: fc.constantFrom("a", "b", "é", "🐧"), maxLength: 30 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "é", "🐧"), minLength: 1, maxLength: 5 }), {
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(fewLetters, stops, async (text, stopStrings) => {
        const expected = cutPlainly(text, stopStrings);
        const whole = run(Array.from(await tokenizer.encodeText(text)), stopStrings);
        const bytes = run(Array.from(await tokenizer.encodeBytes(new TextEncoder().encode(text))), stopStrings);
        for (const { text: got, stopped } of [whole, bytes]) {
          assert.equal(got, expected);
          assert.equal(stopped, expected.length < text.length);
        }
      }),
      parameters,
    );
  });

  it("gives out what cannot belong to a stop string at once, in whole characters", async () => {
    const { pieces } = run(Array.from(await tokenizer.encodeText("xa🐧STxST")), ["STOP"]);
    assert.equal(pieces.join(""), "xa🐧STxST");
    assert.equal(pieces.at(-1), "ST");
    for (const piece of pieces) assert.ok(piece.isWellFormed());
  });

  it("refuses stop strings that cannot be used", () => {
    for (const stopStrings of [[""], ["x".repeat(1025)], ["\ud83d"], Array<string>(65).fill("x")]) {
      assert.throws(() => new AnswerText(tokenizer, stopStrings), { code: "INVALID_OPTION" });
    }
  });
});
