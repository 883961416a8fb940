import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { streamKeys, uniform } from "../base/random.ts";
import { compareItems, evalCompareOptionsSchema } from "./compare.ts";
import { comparePairs, powerOf, signTest, smallestDifference } from "./paired.ts";
import type { ItemRow } from "./summary.ts";

const isLong = process.env.ROOKERY_LONG_TESTS === "1";

function rows(scores: readonly (number | null)[], task = "t"): ItemRow[] {
  return scores.map((score, at) => ({
    ...{ task, part: "", item: String(at), score, scores: JSON.stringify({ acc: score }), question: `q${at}` },
    ...{ answer: String(score), reference: "0", logprobs: "", cut_tokens: 0, failure: "" },
  }));
}
const options = (more = {}) => evalCompareOptionsSchema.parse({ a: "A", b: "B", ...more });

/** 1,000 questions, 600 right in A; B wins `won` and loses `lost`. */
function planted(won: number, lost: number): [ItemRow[], ItemRow[]] {
  const a = Array.from({ length: 1000 }, (_, at) => Number(at < 600));
  const b = a.map((score, at) => (at < lost || (at >= 600 && at < 600 + won) ? 1 - score : score));
  return [rows(a), rows(b)];
}

/** Pairs of which a share is answered differently, and B is better by `difference`. */
function draw(count: number, discordance: number, difference: number, seed: number): (readonly [number, number])[] {
  const keys = streamKeys(seed, "pairs");
  return Array.from({ length: count }, (_, at) => {
    const u = uniform(keys, at);
    if (u < (discordance + difference) / 2) return [0, 1] as const;
    if (u < discordance) return [1, 0] as const;
    return u < (1 + discordance) / 2 ? ([1, 1] as const) : ([0, 0] as const);
  });
}

describe("a comparison", () => {
  it("finds three points planted in a thousand questions, in both directions, and says what it could have found", () => {
    const better = compareItems(...planted(40, 10), options());
    const [one] = better.tasks;
    assert.equal(one!.verdict, "better");
    assert.ok(Math.abs(one!.difference - 0.03) < 1e-12);
    assert.deepEqual([one!.won, one!.lost], [40, 10]);
    assert.ok(one!.interval[0] > 0.015 && one!.interval[0] < 0.018 && one!.interval[1] > 0.042);
    assert.ok(one!.exactP! < 1e-4);
    assert.deepEqual(better.failures, []);
    const atTwenty = one!.power.find(({ discordance }) => discordance === 0.2)!;
    assert.ok(Math.abs(atTwenty.ofThreePoints - 0.566) < 0.002, `${atTwenty.ofThreePoints}`);
    assert.ok(Math.abs(atTwenty.smallestDifference - 0.0395) < 0.0005, `${atTwenty.smallestDifference}`);
    const worse = compareItems(...planted(10, 40), options());
    assert.equal(worse.tasks[0]!.verdict, "worse");
    assert.match(worse.failures[0]!, /B is worse by 3.00 points/);
    assert.deepEqual(
      worse.tasks[0]!.flips.map(({ scoreB }) => scoreB),
      new Array(20).fill(0),
    );
  });

  it("flags at most 14 of 200 pairs without a difference", () => {
    let flagged = 0;
    for (let seed = 0; seed < 200; seed++) {
      const pairs = draw(1000, 0.2, 0, seed);
      if (comparePairs(pairs, { confidence: 0.95, seed, resamples: isLong ? 4000 : 500 }).isSignificant) flagged++;
    }
    assert.ok(flagged <= 14, `${flagged} of 200`);
    assert.ok(flagged >= 2, `${flagged} of 200`);
  });

  it("gives intervals that hold the truth as often as they say, and powers that come true", () => {
    const runs = isLong ? 1000 : 150;
    let [covered, seen] = [0, 0];
    for (let seed = 0; seed < runs; seed++) {
      const figures = comparePairs(draw(1000, 0.2, 0.03, 1000 + seed), {
        confidence: 0.95,
        seed,
        resamples: isLong ? 2000 : 400,
      });
      if (figures.interval[0] <= 0.03 && figures.interval[1] >= 0.03) covered++;
      if (figures.isSignificant) seen++;
    }
    const slack = isLong ? 0.02 : 0.05;
    assert.ok(Math.abs(covered / runs - 0.95) < slack, `${covered} of ${runs}`);
    const power = powerOf(0.03, { count: 1000, discordance: 0.2, confidence: 0.95 });
    assert.ok(Math.abs(seen / runs - power) < 2 * slack + 0.02, `${seen} of ${runs}, expected ${power}`);
  });

  it("holds several tasks to a stricter level, and counts each the same over all", () => {
    const [a, b] = planted(25, 10);
    const alone = compareItems(a, b, options()).tasks[0]!;
    assert.equal(alone.verdict, "better");
    const others = ["u", "v", "w", "x", "y"].flatMap((task) => rows(new Array(50).fill(1), task));
    const many = compareItems([...a, ...others], [...b, ...others], options());
    assert.equal(many.tasks[0]!.verdict, "no difference seen");
    assert.ok(Math.abs(many.overall!.difference - 0.015 / 6) < 1e-12);
  });

  it("passes a margin only where B is surely less below", () => {
    assert.equal(compareItems(...planted(10, 12), options({ margin: 0.02 })).failures.length, 0);
    assert.equal(compareItems(...planted(10, 12), options({ margin: 0.005 })).failures.length, 1);
  });

  it("leaves out what has no score, and refuses other questions", () => {
    const a = rows([1, 0, null, 1]);
    const found = compareItems(a, rows([1, 1, 1, null, 1]), options());
    assert.deepEqual([found.tasks[0]!.count, found.tasks[0]!.unpaired], [2, 5]);
    const others = a.map((row) => ({ ...row, reference: "1" }));
    assert.throws(() => compareItems(a, others, options()), { code: "BAD_DATA", message: /not the same/ });
    assert.throws(() => compareItems(a, rows([1], "other"), options()), {
      code: "BAD_DATA",
      message: /no question in common/,
    });
    assert.throws(() => compareItems(a, a, options({ metric: "f1" })), { code: "BAD_DATA" });
  });
});

it("the exact test counts coin flips", () => {
  assert.equal(signTest(0, 0), 1);
  assert.ok(Math.abs(signTest(10, 0) - 2 / 1024) < 1e-12);
  assert.ok(Math.abs(signTest(1, 4) - 0.375) < 1e-12);
});

it("the smallest difference is found with its power", () => {
  const about = { count: 1000, discordance: 0.2, confidence: 0.95 };
  assert.ok(Math.abs(powerOf(smallestDifference(0.8, about), about) - 0.8) < 1e-4);
});
