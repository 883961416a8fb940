import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyModel, tinyTokenizer } from "../../test/tiny-model.ts";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { PackedAttention } from "../model/attention.ts";
import type { ModelConfig } from "../model/config.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { logits } from "../tensor/ops/linear.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type GenerateOptions, Generation, generate } from "./generate.ts";
import { stopTokenIds } from "./stop-tokens.ts";

const tokenizer = tinyTokenizer();
const start = liveMemory();
after(() => assert.deepEqual(liveMemory(), start));

function opened(computeType: ComputeType, changes: Partial<ModelConfig> = {}, threads = 2) {
  const model = tinyModel(changes);
  const execution = new Execution({ threads, computeType });
  model.keepPacked(execution.pool, computeType);
  const dispose = () => {
    for (const one of [execution, model]) one[Symbol.dispose]();
  };
  return { model, execution, tokenizer, [Symbol.dispose]: dispose };
}

/** A text that is no text: every id of the tokenizer may be in it. */
function promptOf(length: number): number[] {
  return Array.from({ length }, (_, at) => (at * 7919 + 13) % 256);
}

const options = (changes: Partial<GenerateOptions> = {}): GenerateOptions => ({
  temperature: 0.9,
  topP: 0.95,
  maxTokens: 24,
  stopTokenIds: [],
  seed: 5,
  ...changes,
});

/** Logits f32 of every position of `tokens`, as training computes them: no cache, all rows at once. */
function uncached(execution: Execution, model: Transformer, tokens: readonly number[]): Float32Array[] {
  const { arena } = execution;
  const sequences = arena.integers(Int32Array.of(0, tokens.length, 0, tokens.length), 1, 4);
  const attend = new PackedAttention(execution, model.config, sequences);
  const input = {
    tokens: arena.integers(Int32Array.from(tokens)),
    positions: arena.integers(Int32Array.from(tokens.keys())),
  };
  const { hidden } = model.forward(execution, input, attend, dropless);
  const all = logits(execution, hidden, model.head);
  const rows = Array.from(tokens, (_, row) => all.rows(row, 1).toFloat32Array());
  arena.reset();
  return rows;
}

function finish(generation: Generation): { answer: number[]; logits: Float32Array[] } {
  const seen: Float32Array[] = [];
  for (;;) {
    const step = generation.step();
    if (step.type === "finished") return { answer: generation.answer, logits: seen };
    if (step.type === "token") seen.push(generation.logits!);
  }
}

function thrownBy(run: () => unknown): RookeryError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RookeryError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
}

for (const computeType of ["f32", "bf16"] as const) {
  for (const changes of [
    { claShareFactor: 2, topK: 1 },
    { claShareFactor: 1, topK: 2, useQkNorm: false },
    { claShareFactor: 4, topK: 2, tieWordEmbeddings: false },
  ]) {
    describe(`generation in ${computeType}, ${JSON.stringify(changes)}`, () => {
      it("gives the logits of the uncached pass to the bit, after every token", () => {
        using one = opened(computeType, changes);
        using generation = new Generation(one, promptOf(70), options());
        const { answer, logits: cached } = finish(generation);
        assert.equal(answer.length, 24);
        const expected = uncached(one.execution, one.model, [...promptOf(70), ...answer]);
        // The n-th token was drawn from the logits after the token before it.
        for (const [at, values] of cached.entries()) assert.deepEqual(values, expected[69 + at], `token ${at}`);
      });

      it("gives the same text however the prompt is cut, on any number of threads", () => {
        const answers = [1, 7, 64, 512].map((prefillRows) => {
          using one = opened(computeType, changes, prefillRows === 7 ? 1 : 2);
          using generation = new Generation(one, promptOf(131), { ...options(), prefillRows });
          return finish(generation).answer;
        });
        for (const answer of answers) assert.deepEqual(answer, answers[0]);
      });
    });
  }
}

describe("an answer", () => {
  it("is the same for the same seed, and another for another seed or sample", () => {
    using one = opened("bf16");
    const answerOf = (changes: Partial<GenerateOptions>) => {
      using generation = new Generation(one, promptOf(9), options(changes));
      return finish(generation).answer.join();
    };
    assert.equal(answerOf({}), answerOf({}));
    const answers = [answerOf({}), answerOf({ seed: 6 }), answerOf({ sampleIndex: 1 }), answerOf({ temperature: 0 })];
    assert.equal(new Set(answers).size, 4);
    assert.equal(answerOf({ temperature: 0 }), answerOf({ temperature: 0, seed: 99 }));
  });

  it("has only ids that are tokens, though the model has more rows", () => {
    using one = opened("f32");
    using generation = new Generation(one, promptOf(5), options({ temperature: 50, topP: 1, maxTokens: 300 }));
    const { answer } = finish(generation);
    assert.equal(answer.length, 300);
    assert.ok(answer.every((id) => id < tokenizer.vocabularySize));
    assert.ok(answer.some((id) => id > 256));
  });

  it("has no id that the tokenizer leaves out", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-engine-"));
    await tokenizer.save(folder);
    const json = JSON.parse(fs.readFileSync(path.join(folder, "tokenizer.json"), "utf8")) as { added_tokens: object[] };
    fs.rmSync(folder, { recursive: true });
    json.added_tokens.push({ ...json.added_tokens[0], id: 300, content: "<|late|>" });
    using one = opened("f32");
    const withGap = { ...one, tokenizer: Tokenizer.fromJson(json) };
    using generation = new Generation(withGap, promptOf(5), options({ temperature: 50, topP: 1, maxTokens: 400 }));
    const { answer } = finish(generation);
    assert.deepEqual(
      answer.filter((id) => id >= 290 && id !== 300),
      [],
    );
  });

  it("ends before a stop token, which is no part of it", () => {
    using one = opened("f32");
    const whole = finishOf(one, {});
    const stop = whole[5]!;
    assert.deepEqual(finishOf(one, { stopTokenIds: [stop] }), whole.slice(0, whole.indexOf(stop)));
  });

  it("ends at the model's longest sequence", () => {
    using one = opened("f32", { maxPositionEmbeddings: 32 });
    using generation = new Generation(one, promptOf(30), options());
    assert.equal(finish(generation).answer.length, 2);
    assert.deepEqual(generation.step(), { type: "finished", reason: "length", text: "" });
  });

  it("repeats itself less under a penalty", () => {
    using one = opened("f32");
    const distinct = (repetitionPenalty?: number) =>
      new Set(finishOf(one, { temperature: 0, maxTokens: 60, repetitionPenalty })).size;
    assert.ok(distinct(1.5) > distinct());
  });

  it("streams as text what its tokens decode to, and stops when asked", async () => {
    using one = opened("bf16");
    const controller = new AbortController();
    const settings = options({ temperature: 3, maxTokens: 80 });
    const pieces = generate(one, promptOf(9), settings, { signal: controller.signal });
    const tokens: number[] = [];
    let text = "";
    for (;;) {
      const next = await pieces.next();
      text += next.done ? next.value.rest : next.value.text;
      if (next.done) break;
      tokens.push(next.value.token);
    }
    assert.equal(tokens.length, 80);
    assert.equal(text, tokenizer.decode(tokens, { skipSpecialTokens: true }));

    const stopped = generate(one, promptOf(9), settings, { signal: controller.signal });
    await stopped.next();
    controller.abort();
    await assert.rejects(async () => stopped.next(), { name: "AbortError" });
  });

  it("refuses prompts that the model cannot read, in one line", () => {
    using one = opened("f32");
    const refused = (prompt: number[]) => thrownBy(() => new Generation(one, prompt, options()));
    assert.match(refused([]).message, /no tokens/);
    assert.match(refused([3, 4, 999]).message, /token 2 of the prompt is 999/);
    assert.match(refused([-1]).message, /token 0 of the prompt is -1/);
    assert.match(refused(promptOf(701)).message, /701 tokens, the model reads at most 700/);
    assert.match(thrownBy(() => new Generation(one, [1], options({ topP: 0 }))).message, /topP is 0/);
  });

  it("stops at the control tokens that end documents and answers, and at those of the makers", () => {
    const ids = [tokenizer.controlId("endOfText"), tokenizer.controlId("eos")];
    assert.deepEqual(stopTokenIds(tokenizer, [4, ids[1]!]), [4, ids[1], ids[0]]);
  });
});

function finishOf(one: ReturnType<typeof opened>, changes: Partial<GenerateOptions>): number[] {
  using generation = new Generation(one, promptOf(9), options(changes));
  return finish(generation).answer;
}
