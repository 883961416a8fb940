import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import {
  type OpenedModel,
  openEngine,
  openTinyModel,
  promptOf,
  requestOf,
  runAll,
  runOne,
  type Told,
  thrownBy,
  uncachedHidden,
  uncachedLogprobs,
} from "../../test/engine-support.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import type { EngineRequest } from "./request.ts";

const start = liveMemory();
after(() => assert.deepEqual(liveMemory(), start));

describe("the logits are those of the training pass to the bit", () => {
  const texts = fc.array(
    fc.record({ length: fc.integer({ min: 1, max: 200 }), maxTokens: fc.integer({ min: 1, max: 12 }) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  const configuration = fc.record({
    topK: fc.constantFrom(1, 2),
    claShareFactor: fc.constantFrom(1, 2, 4),
    useQkNorm: fc.boolean(),
    tieWordEmbeddings: fc.boolean(),
    numSharedExperts: fc.constantFrom(0, 1),
    headDim: fc.constantFrom(16, 24, 64),
    numKeyValueHeads: fc.constantFrom(1, 2, 4),
    numHiddenLayers: fc.constantFrom(4, 5),
  });
  for (const computeType of ["f32", "bf16"] as const) {
    it(`in ${computeType}, for any configuration, lengths, chunks and batch`, () => {
      let positions = 0;
      fc.assert(
        fc.property(configuration, texts, fc.integer({ min: 1, max: 130 }), (changes, all, prefillTokens) => {
          using source = openTinyModel(computeType, { hiddenSize: 48, ...changes });
          using engine = openEngine(source, { prefillTokens });
          const requests = all.map(({ length, maxTokens }, at) =>
            requestOf(promptOf(length, at), { topLogprobs: 5, promptLogprobs: true, maxTokens }),
          );
          for (const [at, { prompt, answers }] of runAll(engine, requests).entries()) {
            const { tokens, logprobs } = answers[0]!;
            const expected = uncachedLogprobs(source, [...requests[at]!.prompt, ...tokens], 5);
            const found = [...prompt!.logprobs!.slice(1), ...logprobs];
            assert.equal(found.length, expected.length);
            assert.equal(
              found.findIndex((one, at) => JSON.stringify(one) !== JSON.stringify(expected[at])),
              -1,
            );
            positions += found.length;
          }
        }),
        { seed: 20241104, numRuns: process.env.ROOKERY_LONG_TESTS ? 300 : 25 },
      );
      assert.ok(positions > 1000, `${positions} positions`);
    });
  }

  it("at positions that the model was not made for, when they are asked for", () => {
    using source = openTinyModel("bf16", { maxPositionEmbeddings: 40 });
    using longer = openTinyModel("bf16", { maxPositionEmbeddings: 400 });
    const request = requestOf(promptOf(70), { topLogprobs: 2 });
    assert.equal(thrownBy(() => runOne(source, request)).code, "INVALID_OPTION");
    using engine = openEngine(source, { maxModelLength: 200 });
    const [{ answers }] = runAll(engine, [request]) as [Told];
    assert.deepEqual(answers, runOne(longer, request).answers);
  });
});

/** Different in all that a request can say, and in length; several share a beginning of more than a page. */
function mixedRequests(count: number): EngineRequest[] {
  return Array.from({ length: count }, (_, at) => {
    const own = promptOf(5 + ((at * 37) % 90), at);
    const prompt = at % 3 === 0 ? Int32Array.from([...promptOf(130), ...own]) : own;
    return requestOf(prompt, {
      seed: at,
      maxTokens: 10 + at,
      sampling: at % 4 === 1 ? { temperature: 0, repetitionPenalty: 1.1 } : { temperature: 1.2, topK: 20 + at },
    });
  });
}

describe("the text of a request is the same", () => {
  for (const computeType of ["f32", "bf16"] as const) {
    it(`alone and among fifteen others, in ${computeType}`, () => {
      using source = openTinyModel(computeType);
      const requests = mixedRequests(16);
      const alone = requests.map((request) => runOne(source, request).tokens);
      using engine = openEngine(source, { prefillTokens: 50 });
      assert.deepEqual(
        runAll(engine, requests).map(({ tokens }) => tokens),
        alone,
      );
      assert.equal(engine.stats().preemptions, 0);
    });
  }

  it("when its prefix is found, and when it is not", () => {
    using source = openTinyModel("bf16");
    using engine = openEngine(source);
    const request = requestOf(promptOf(150), { topLogprobs: 3 });
    const [first] = runAll(engine, [request]);
    const [second] = runAll(engine, [request]);
    assert.equal(first!.prompt!.cachedTokens, 0);
    assert.equal(second!.prompt!.cachedTokens, 128);
    assert.deepEqual(second!.answers, first!.answers);
    const [longer] = runAll(engine, [requestOf(Int32Array.from([...request.prompt, ...first!.tokens]))]);
    assert.equal(longer!.prompt!.cachedTokens, 128);
    const { cachedPromptTokens, promptTokens } = engine.stats();
    assert.deepEqual([promptTokens, cachedPromptTokens], [150 + 150 + 174, 256]);
  });

  it("when log-probabilities are told of the end of its prompt alone, and a prefix stands for the rest", () => {
    using source = openTinyModel("bf16");
    using engine = openEngine(source, { prefillTokens: 70 });
    const scored = requestOf(promptOf(150), { maxTokens: 0, topLogprobs: 2, promptLogprobs: true });
    const [whole] = runAll(engine, [scored]);
    for (const [promptLogprobsFrom, cachedTokens] of [
      [1, 0],
      [64, 0],
      [65, 64],
      [129, 128],
      [149, 128],
      [150, 128],
    ] as const) {
      const [told] = runAll(engine, [{ ...scored, promptLogprobsFrom }]);
      assert.equal(told!.prompt!.cachedTokens, cachedTokens);
      const expected = whole!.prompt!.logprobs!.map((one, at) => (at < promptLogprobsFrom ? null : one));
      assert.equal(JSON.stringify(told!.prompt!.logprobs), JSON.stringify(expected));
    }
    assert.throws(() => runAll(engine, [{ ...scored, promptLogprobsFrom: 151 }]), /promptLogprobsFrom/);
  });

  it("when it has lost its pages on the way", () => {
    using source = openTinyModel("bf16", { maxPositionEmbeddings: 320 });
    const requests = mixedRequests(12).map((request) => ({ ...request, maxTokens: 150 }));
    const alone = requests.map((request) => runOne(source, request, { pages: 5 }).tokens);
    using engine = openEngine(source, { prefillTokens: 40, pages: 9 });
    const told = runAll(engine, requests);
    assert.ok(engine.stats().preemptions > 3, `${engine.stats().preemptions} preemptions`);
    assert.deepEqual(
      told.map(({ tokens }) => tokens),
      alone,
    );
    assert.equal(engine.stats().pagesInUse, 0);
  });

  it("on one thread and on two", () => {
    const tokens = [1, 2].map((threads) => {
      using source = openTinyModel("bf16", {}, threads);
      using engine = openEngine(source);
      return runAll(engine, mixedRequests(5)).map((one) => one.tokens);
    });
    assert.deepEqual(tokens[0], tokens[1]);
  });

  it("after the weights have changed and changed back", () => {
    using source = openTinyModel("f32");
    using engine = openEngine(source);
    const request = requestOf(promptOf(100));
    const expected = runOne(source, request).tokens;
    engine.add(request);
    const tokens: number[] = [];
    while (engine.hasWork) {
      for (const output of engine.step()) {
        if (output.type === "event" && output.event.type === "token") tokens.push(output.event.token);
      }
      if (tokens.length === 10) engine.weightsChanged();
    }
    assert.deepEqual(tokens, expected);
    assert.ok(engine.weightsVersion > 0);
    const cached = [1, 2].map(() => runAll(engine, [request])[0]!.prompt!.cachedTokens);
    assert.deepEqual(cached, [0, 64], "nothing from before the change is found");
  });
});

describe("a cache of 8 bits", () => {
  for (const changes of [{}, { useQkNorm: false, claShareFactor: 1 }]) {
    it(`gives nearly the same logits, and always the same: ${JSON.stringify(changes)}`, () => {
      // with larger weights a small difference soon sends a token to another expert
      using source = openTinyModel("bf16", { ...changes, initializerRange: 0.1 });
      const requests = mixedRequests(8).map((request) => ({ ...request, topLogprobs: 0, maxTokens: 100 }));
      const alone = requests.map((request) => runOne(source, request, { keyValueCacheType: "fp8" }).answers);
      using engine = openEngine(source, { keyValueCacheType: "fp8", prefillTokens: 33, pages: 9 });
      for (const what of ["anew", "from found prefixes"]) {
        const told = runAll(engine, requests);
        assert.deepEqual(
          told.map(({ answers }) => answers),
          alone,
          what,
        );
      }
      assert.ok(engine.stats().preemptions > 0);
      assert.ok(engine.stats().cachedPromptTokens > 0);
      for (const [at, [answer]] of alone.entries()) {
        const { prompt } = requests[at]!;
        const exact = uncachedLogprobs(source, [...prompt, ...answer!.tokens], 0).slice(prompt.length - 1);
        const differences = exact.map(({ logprob }, n) => Math.abs(logprob - answer!.logprobs[n]!.logprob));
        const mean = differences.reduce((sum, one) => sum + one, 0) / differences.length;
        assert.ok(mean > 0 && mean < 0.15, `${mean} apart on average`);
      }
    });
  }
});

describe("several answers to one prompt", () => {
  for (const length of [63, 64, 130]) {
    it(`are those of as many requests, and the prompt of ${length} tokens is read once`, () => {
      using source = openTinyModel("bf16");
      using engine = openEngine(source);
      const request = requestOf(promptOf(length), { count: 5 });
      const [told] = runAll(engine, [request]);
      assert.equal(engine.stats().promptTokens, length);
      assert.equal(engine.stats().steps, 24, "one that reads the prompt, and 23 for the other tokens");
      assert.equal(new Set(told!.answers.map(({ tokens }) => tokens.join())).size, 5);
      // the same with less room, where the others must wait
      using small = openEngine(source, { maxBatch: 2 });
      assert.deepEqual(runAll(small, [request])[0]!.answers, told!.answers);
      assert.deepEqual(runOne(source, { ...request, count: 1 }).answers[0], told!.answers[0]);
      assert.equal(small.stats().pagesInUse, 0);
    });
  }
});

describe("a request that asks for more", () => {
  it("is told which experts took each token, prompt and answer, and with what probability", () => {
    using source = openTinyModel("f32", { topK: 2 });
    using engine = openEngine(source, { prefillTokens: 30 });
    const request = requestOf(promptOf(70), { reportExperts: true, maxTokens: 4 });
    runAll(engine, [requestOf(promptOf(70))]);
    const [told] = runAll(engine, [request]);
    assert.equal(told!.prompt!.cachedTokens, 0, "each token is read");
    assert.deepEqual(
      told!.experts.map(({ position }) => position),
      Array.from({ length: 73 }, (_, at) => at),
    );
    const { numHiddenLayers, numExperts } = source.model.config;
    for (const { experts, probabilities } of told!.experts) {
      assert.equal(experts.length, numHiddenLayers);
      for (const [layer, chosen] of experts.entries()) {
        assert.equal(new Set(chosen).size, 2);
        assert.ok(chosen.every((expert) => expert >= 0 && expert < numExperts));
        const [first, second] = probabilities[layer]!;
        assert.ok(first! >= second! && first! + second! <= 1 + 1e-6 && second! > 0);
      }
    }
    const load = engine.stats().expertLoad.map((experts) => experts.reduce((sum, tokens) => sum + tokens));
    // 70 + 24 − 1 tokens of the first request, 73 of the second, two experts each
    assert.deepEqual(load, new Array(numHiddenLayers).fill(2 * (93 + 73)));
    assert.equal(engine.stats().expertCalls, engine.stats().steps * numHiddenLayers);
  });

  it("reads the prompt alone when it wants no token", () => {
    using source = openTinyModel("f32");
    const told = runOne(source, requestOf(promptOf(9), { maxTokens: 0, promptLogprobs: true, count: 2 }));
    assert.equal(told.prompt!.logprobs!.length, 9);
    assert.deepEqual(
      told.answers.map(({ tokens, reason }) => [tokens.length, reason]),
      [
        [0, "length"],
        [0, "length"],
      ],
    );
  });
});

it("an embedding is the mean of the last hidden states, however it is read", () => {
  using source = openTinyModel("bf16");
  const tokens = promptOf(150);
  const hidden = uncachedHidden(source, tokens).toFloat32Array();
  source.execution.arena.reset();
  const expected = embedSum(hidden, source).map((sum) => Math.fround(sum / 150));
  for (const prefillTokens of [150, 40]) {
    using engine = openEngine(source, { prefillTokens });
    engine.addEmbedding(tokens);
    engine.add(requestOf(promptOf(33)));
    const outputs = [];
    while (engine.hasWork) outputs.push(...engine.step());
    const found = outputs.find((output) => output.type === "embedding");
    assert.deepEqual(Array.from(found!.embedding), expected);
  }
});

function embedSum(hidden: Float32Array, { model }: OpenedModel): number[] {
  const { hiddenSize } = model.config;
  const sums = new Array<number>(hiddenSize).fill(0);
  for (const [at, value] of hidden.entries()) sums[at % hiddenSize]! += value;
  return sums;
}
