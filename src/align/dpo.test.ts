/** What TRL has no fixture of: the mask of formatting tokens, by finite differences and by hand. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { streamKeys, uniform } from "../base/random.ts";
import { dpoGradients } from "./dpo.ts";
import { dpoLoss } from "./losses.ts";
import type { Unit } from "./packing.ts";
import { packUnits } from "./pairs.ts";
import { countTargets, sampleOf } from "./samples.ts";

const eos = 9;
const answer = (length: number, from: number) => [...Array.from({ length }, (_, i) => (from + i) % 9), eos];
const unitOf = (prompt: number, chosen: number, rejected: number): Unit =>
  [answer(chosen, 1), answer(rejected, 4)].map((ids) =>
    sampleOf(
      Int32Array.from([...Array.from({ length: prompt }, () => 3), ...ids]),
      Uint8Array.from({ length: prompt + ids.length }, (_, i) => (i < prompt ? 0 : 1)),
    ),
  );
const units = [unitOf(3, 2, 5), unitOf(1, 4, 1)];
const [batch] = packUnits(units, { sequenceLength: 40, microBatchRows: 1 }, 0);
const numbers = (name: string) => {
  const keys = streamKeys(3, name);
  return Float32Array.from(batch!.tokens, (_, i) => (batch!.targets[i]! < 0 ? 0 : 0.1 + 2 * uniform(keys, i)));
};
const [losses, reference] = [numbers("policy"), numbers("reference")];
const chosenTargets = units.reduce((sum, [chosen]) => sum + countTargets(chosen!), 0);
const settings = { beta: 0.5, sftCoefficient: 0.3, ignoredTarget: eos, pairs: units.length, chosenTargets };

/** What is minimised, as a function of the −log-probabilities of the targets. */
function objective(of: Float32Array, ignoredTarget: number): number {
  const made = dpoGradients(batch!, of, reference, { ...settings, ignoredTarget });
  const preference = made.pairs.reduce((sum, { loss }) => sum + loss, 0) / units.length;
  return preference + (settings.sftCoefficient * made.chosenLoss) / chosenTargets;
}

describe("dpoGradients", () => {
  for (const ignoredTarget of [-1, eos]) {
    it(`scales each row by the slope of the loss, ${ignoredTarget === eos ? "without" : "with"} the token that ends an answer`, () => {
      const { rowScales } = dpoGradients(batch!, losses, reference, { ...settings, ignoredTarget });
      const step = 2 ** -8;
      for (const row of losses.keys()) {
        const [above, below] = [losses.slice(), losses.slice()];
        above[row]! += step;
        below[row]! -= step;
        const slope =
          batch!.targets[row]! < 0
            ? 0
            : (objective(above, ignoredTarget) - objective(below, ignoredTarget)) / (above[row]! - below[row]!);
        assert.ok(Math.abs(rowScales[row]! - slope) < 1e-5, `row ${row}: ${rowScales[row]}, slope ${slope}`);
      }
    });
  }

  it("leaves what ends an answer out of the preference, and in the SFT term", () => {
    const { rowScales, pairs } = dpoGradients(batch!, losses, reference, settings);
    const ends = [...batch!.targets.keys()].filter((row) => batch!.targets[row] === eos);
    assert.equal(ends.length, 4);
    for (const [i, row] of ends.entries()) {
      const expected = i % 2 === 0 ? settings.sftCoefficient / chosenTargets : 0;
      assert.ok(Math.abs(rowScales[row]! - expected) < 1e-7, `row ${row}`);
    }
    // by hand: the first pair stands at the beginning of the row, the prompt of 3 first
    const logProbability = (of: Float32Array, from: number, count: number) =>
      -of.slice(from, from + count).reduce((sum, loss) => sum + loss, 0);
    const both = (of: Float32Array) => ({
      chosen: logProbability(of, 2, 2),
      rejected: logProbability(of, 6 + 2, 5),
    });
    const expected = dpoLoss({ policy: both(losses), reference: both(reference) }, settings.beta);
    assert.ok(Math.abs(pairs[0]!.loss - expected.loss) < 1e-6, `${pairs[0]!.loss} ${expected.loss}`);
    assert.equal(pairs[0]!.tokens, 2);
  });
});
