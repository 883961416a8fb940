import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { type Cell, planMixture } from "./mixture.ts";

const cell = (domain: string, language: string, from: number, count: number): Cell => {
  return { domain, language, seeds: Array.from({ length: count }, (_, index) => from + index) };
};
const cells = [cell("sea", "en", 0, 40), cell("sea", "zh", 40, 3), cell("law", "en", 43, 10)];
const isQuestion = (seed: number) => seed >= 43;

function plan(wanted: Parameters<typeof planMixture>[1], amounts: { count: number; perDraw: number }, seed: number) {
  const { draws, ...rest } = planMixture(cells, wanted, { ...amounts, isQuestion }, seed);
  return { draws: [...draws], ...rest };
}

it("a mixture is met as nearly as whole numbers allow, each seed once before any twice", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 4 }), fc.nat(9), (count, perDraw, seed) => {
      const wanted = { domains: { sea: 1 }, languages: { en: 3, zh: 1 } };
      const { draws, scarce } = plan(wanted, { count, perDraw }, seed);
      const sum = (of: typeof draws) => of.reduce((total, draw) => total + draw.count, 0);
      assert.equal(sum(draws), count);
      assert.ok(Math.abs(sum(draws.filter(({ language }) => language === "zh")) - count / 4) < 1);
      for (const round of new Set(draws.map((draw) => draw.round))) {
        const taken = draws.filter((draw) => draw.round === round).map((draw) => `${draw.language} ${draw.seed}`);
        assert.equal(new Set(taken).size, taken.length);
      }
      assert.equal(
        scarce.length > 0,
        draws.some(({ round }) => round > 0),
      );
      assert.deepEqual(plan(wanted, { count, perDraw }, seed).draws, draws);
    }),
    { seed: 20241104, numRuns: 50 },
  );
});

it("questions are asked once, and a language without seeds borrows those of its domain", () => {
  const { draws } = plan({ domains: { law: 1 }, languages: { zh: 1 } }, { count: 50, perDraw: 3 }, 1);
  assert.equal(draws.length, 10);
  assert.ok(draws.every(({ language, count, round }) => language === "zh" && count === 1 && round === 0));
  assert.throws(() => plan({ domains: { art: 1 } }, { count: 1, perDraw: 1 }, 1), { code: "BAD_DATA" });
  const plain = plan({}, { count: 53, perDraw: 1 }, 1);
  assert.deepEqual(plain.domains, { sea: 43 / 53, law: 10 / 53 });
});
