import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { tinyModel, tinyTokenizer } from "../../test/tiny-model.ts";
import { dropless } from "../model/router.ts";
import { Execution } from "../tensor/execution.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import { forwardHidden, forwardLoss } from "../train/step.ts";
import { packRows, planRows, type Unit } from "./packing.ts";
import { encodeAnswer, encodeSample, type Sample } from "./samples.ts";

const tokenizer = tinyTokenizer();
const pad = tokenizer.controlId("pad");

const conversations = [
  [
    { role: "user", content: "the rock" },
    { role: "assistant", content: "the cold sea" },
  ],
  [
    { role: "system", content: "on the rock" },
    { role: "user", content: "penguins" },
    { role: "assistant", content: "chicks" },
    { role: "user", content: "and the" },
    { role: "assistant", content: "rookery" },
  ],
  [
    { role: "user", content: "sea" },
    { role: "assistant", content: "the" },
  ],
] as const;

const encodeAll = () => Promise.all(conversations.map((messages) => encodeSample(tokenizer, messages)));

describe("samples", () => {
  it("teach the assistant's tokens and the end of its turns, and nothing else", async () => {
    const [, sample] = await encodeAll();
    const { tokens, targets } = sample!;
    const taught = targets.filter((target) => target >= 0);
    const words = async (text: string) => [...(await tokenizer.encodeText(text)), tokenizer.controlId("eos")];
    assert.deepEqual([...taught], [...(await words("chicks")), ...(await words("rookery"))]);
    // the official code begins a token earlier, at <|extra_0|>, which ends the user's turn
    assert.ok(!taught.includes(tokenizer.controlId("endOfUser")));
    for (const [i, target] of targets.entries()) assert.ok(target === -1 || target === tokens[i + 1], `target ${i}`);
  });

  it("of an answer teach the last turn alone", async () => {
    const messages = conversations[1];
    const { targets } = await encodeAnswer(tokenizer, messages.slice(0, 4), "rookery");
    const taught = targets.filter((target) => target >= 0);
    const expected = [...(await tokenizer.encodeText("rookery")), tokenizer.controlId("eos")];
    assert.deepEqual([...taught], expected);
  });
});

describe("packing", () => {
  it("takes every unit once, whole, into rows that hold it", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 200 }), (lengths) => {
        const rows = planRows(lengths, lengths.keys(), 20);
        assert.deepEqual(
          rows.flat().sort((a, b) => a - b),
          [...lengths.keys()],
        );
        for (const units of rows) assert.ok(units.reduce((sum, unit) => sum + lengths[unit]!, 0) <= 20);
      }),
    );
    assert.throws(() => planRows([21], [0], 20), /21 tokens for rows of 20/);
  });

  it("keeps positions and sequences apart, with padding that has no targets", () => {
    const sample = (...tokens: number[]): Sample => ({
      tokens: Int32Array.from(tokens),
      targets: Int32Array.from(tokens, (_, i) => tokens[i + 1] ?? -1),
    });
    const units: Unit[] = [[sample(1, 2), sample(3)], [sample(4, 5, 6, 7)]];
    const batch = packRows([[0], [1]], (unit) => units[unit]!, 5, 9);
    assert.deepEqual([...batch.tokens], [1, 2, 3, 9, 9, 4, 5, 6, 7, 9]);
    assert.deepEqual([...batch.targets], [2, -1, -1, -1, -1, 5, 6, 7, -1, -1]);
    assert.deepEqual([...batch.positions], [0, 1, 0, 0, 1, 0, 1, 2, 3, 0]);
    assert.deepEqual([...batch.sequences], [0, 2, 2, 1, 3, 2, 5, 4, 9, 1]);
    assert.deepEqual(batch.placed, [
      { unit: 0, sample: 0, start: 0, length: 2 },
      { unit: 0, sample: 1, start: 2, length: 1 },
      { unit: 1, sample: 0, start: 5, length: 4 },
    ]);
  });
});

describe("the loss of packed conversations", () => {
  const execution = new Execution({ threads: 2, computeType: "f32" });
  const model = tinyModel();
  after(() => {
    execution[Symbol.dispose]();
    model[Symbol.dispose]();
  });
  const lossOf = (rows: number[][], units: readonly Unit[], length: number) => {
    const batch = packRows(rows, (unit) => units[unit]!, length, pad);
    const losses = forwardLoss(execution, model, batch, dropless, 1).losses.toFloat32Array();
    execution.arena.reset();
    return losses.reduce((sum, loss) => sum + loss, 0);
  };

  it("is the sum of the single conversations' losses", async () => {
    const units = (await encodeAll()).map((sample): Unit => [sample]);
    const lengths = units.map(([sample]) => sample!.tokens.length);
    const packed = lossOf([[0, 1, 2]], units, lengths.reduce((a, b) => a + b) + 7);
    const rows = lossOf([[2, 0], [1]], units, 60);
    const single = units.reduce((sum, _, unit) => sum + lossOf([[unit]], units, lengths[unit]!), 0);
    for (const [name, loss] of Object.entries({ packed, rows })) {
      assert.ok(Math.abs(loss - single) < 1e-5 * single, `${name} ${loss}, single ${single}`);
    }
  });

  it("is of the tokens that have targets alone, and so is its gradient by the hidden states", async () => {
    const units = (await encodeAll()).map((sample): Unit => [sample]);
    const batch = packRows([[0, 1, 2]], (unit) => units[unit]!, 100, pad);
    const { result: rows } = forwardHidden(execution, model, batch, dropless, "none", (hidden) => {
      const { result: losses, tape } = execution.record(() =>
        linearCrossEntropy(execution, hidden, model.head, execution.arena.integers(batch.targets), 1),
      );
      const gradients: Float32Array[] = [];
      execution.arena.hold([hidden]);
      const spy = tape.gradientOf.bind(tape);
      // a consumer that came before has the gradient waiting, so that it is not given back
      spy(hidden).tensor.zero();
      tape.pass = (_input, loan) => {
        gradients.push(loan.tensor.toFloat32Array());
        loan[Symbol.dispose]();
      };
      tape.runBackward();
      return { result: { losses: losses.toFloat32Array(), gradient: gradients[0]! }, keeps: [] };
    });
    execution.arena.reset();
    const { hiddenSize } = model.config;
    for (const [i, target] of batch.targets.entries()) {
      const row = rows.gradient.subarray(i * hiddenSize, (i + 1) * hiddenSize);
      assert.equal(rows.losses[i] !== 0, target >= 0, `loss of token ${i}`);
      assert.equal(
        row.some((value) => value !== 0),
        target >= 0,
        `gradient of token ${i}`,
      );
    }
  });

  it("with dropout differs from step to step, is the same again for the same step", async () => {
    const units = (await encodeAll()).map((sample): Unit => [sample]);
    const batch = packRows([[0, 1, 2]], (unit) => units[unit]!, 100, pad);
    const run = (step: number, recomputation: "none" | "block" = "none") => {
      const dropout = { attention: 0.1, hidden: 0.2 };
      const plan = { ...dropless, seed: 1, randomStream: ["step", step], dropout };
      for (const parameter of model.parameters.values()) parameter.startGradient();
      const { result, tape } = execution.record(() => forwardLoss(execution, model, batch, plan, 1, recomputation));
      tape.runBackward();
      for (const parameter of model.parameters.values()) parameter.finishGradient();
      const loss = result.losses.toFloat32Array();
      const gradient = model.parameter("model.layers.0.self_attn.q_proj.weight").gradient.toBytes();
      execution.arena.reset();
      return Buffer.concat([Buffer.from(loss.buffer), gradient]).toString("base64");
    };
    assert.equal(run(1), run(1));
    assert.notEqual(run(1), run(2));
    assert.equal(run(1, "block"), run(1), "recomputation drops the same again");
  });
});
