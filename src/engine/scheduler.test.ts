/** What a user notices of the scheduler: fairness, room, counts. That texts do not depend on it is engine.test.ts's. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { openEngine, openTinyModel, promptOf, requestOf, runOne, Told, thrownBy } from "../../test/engine-support.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { account } from "../model/accounting.ts";
import { presets } from "../model/presets.ts";
import type { Engine } from "./engine.ts";
import { settleOptions } from "./options.ts";
import { cacheBytesPerToken } from "./pages.ts";

const start = liveMemory();
after(() => assert.deepEqual(liveMemory(), start));

/** As small as a model can be. */
const smallest = {
  numHiddenLayers: 2,
  hiddenSize: 32,
  intermediateSize: 16,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 16,
  maxPositionEmbeddings: 1024,
};

/** Steps until a request has been told what `until` looks for, while `each` may bring in others. */
function stepsUntil(
  engine: Engine,
  id: number,
  until: (told: Told) => boolean,
  each: (step: number) => void = () => {},
) {
  const told = new Told(1);
  for (let step = 0; step < 1000; step++) {
    each(step);
    for (const output of engine.step()) if (output.id === id) told.take(output);
    if (until(told)) return step + 1;
  }
  assert.fail("a thousand steps were not enough");
}

describe("fairness", () => {
  it("a short prompt need not wait for a long one", () => {
    using source = openTinyModel("bf16", smallest);
    using engine = openEngine(source, { prefillTokens: 64 });
    engine.add(requestOf(promptOf(1000), { maxTokens: 2 }));
    for (let step = 0; step < 3; step++) engine.step();
    const short = engine.add(requestOf(promptOf(30, 1), { maxTokens: 5 }));
    assert.equal(
      stepsUntil(engine, short, ({ isFinished }) => isFinished),
      5,
    );
  });

  it("a prompt is read in longer steps while no text is being written", () => {
    using source = openTinyModel("bf16", smallest);
    for (const [writers, steps] of [
      [0, 4],
      [1, 16],
    ] as const) {
      using engine = openEngine(source, { prefillTokens: 64 });
      for (let writer = 0; writer < writers; writer++) engine.add(requestOf(promptOf(1, 1), { maxTokens: 100 }));
      engine.step();
      const long = engine.add(requestOf(promptOf(1000), { maxTokens: 2 }));
      assert.equal(
        stepsUntil(engine, long, ({ tokens }) => tokens.length > 0),
        steps,
      );
    }
  });

  it("a long prompt gets on though short ones keep coming", () => {
    using source = openTinyModel("bf16", smallest);
    using engine = openEngine(source, { prefillTokens: 64 });
    const long = engine.add(requestOf(promptOf(1000), { maxTokens: 2 }));
    let number = 0;
    // two of 50 tokens a step: more than what the budget is
    const steps = stepsUntil(
      engine,
      long,
      ({ isFinished }) => isFinished,
      () => {
        for (let more = 0; more < 2; more++)
          if (engine.stats().waiting < 20) engine.add(requestOf(promptOf(50, ++number), { maxTokens: 1 }));
      },
    );
    assert.ok(steps <= Math.ceil(1000 / 32) + 2, `${steps} steps`);
  });

  it("one that needs much room is passed over by smaller ones, but not for ever", () => {
    using source = openTinyModel("bf16", smallest);
    using engine = openEngine(source, { pages: 16 });
    engine.add(requestOf(promptOf(200), { maxTokens: 100 }));
    engine.step();
    const large = engine.add(requestOf(promptOf(900, 1), { maxTokens: 2 }));
    let number = 0;
    let finished = 0;
    const steps = stepsUntil(
      engine,
      large,
      ({ isFinished }) => isFinished,
      () => {
        if (engine.stats().waiting < 10) engine.add(requestOf(promptOf(60, ++number), { maxTokens: 4 }));
        finished = engine.stats().finishedRequests;
      },
    );
    assert.ok(finished > 10, `${finished} have passed it`);
    assert.ok(steps < 200, `${steps} steps`);
  });
});

describe("room", () => {
  it("is refused to a request that can never have it, and to one too many", () => {
    using source = openTinyModel("bf16", smallest);
    using engine = openEngine(source, { queueLimit: 2, maxBatch: 1 });
    assert.equal(thrownBy(() => engine.add(requestOf(promptOf(1025)))).code, "INVALID_OPTION");
    for (let more = 0; more < 3; more++) engine.add(requestOf(promptOf(5)));
    assert.match(thrownBy(() => engine.add(requestOf(promptOf(5)))).message, /3 requests wait already/);
    assert.equal(thrownBy(() => engine.addEmbedding(promptOf(5))).code, "OVERLOADED");
    engine.step();
    assert.deepEqual([engine.stats().running, engine.stats().waiting], [1, 2]);
  });

  it("is never lost, whatever comes, goes and changes", () => {
    using source = openTinyModel("bf16", smallest);
    const kinds = [
      requestOf(promptOf(150), { maxTokens: 30, seed: 1 }),
      requestOf(promptOf(190), { maxTokens: 40, count: 3, seed: 2 }),
      requestOf(promptOf(5, 3), { maxTokens: 100, seed: 3 }),
      requestOf(promptOf(64), { maxTokens: 9, promptLogprobs: true, reportExperts: true }),
      requestOf(promptOf(128), { maxTokens: 1, count: 2, cacheSalt: "me" }),
      requestOf(promptOf(300), { maxTokens: 0 }),
    ];
    const alone = kinds.map((request) => runOne(source, request).answers);
    const action = fc.oneof(
      { weight: 6, arbitrary: fc.record({ type: fc.constant("add" as const), kind: fc.nat(kinds.length - 1) }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("cancel" as const), which: fc.nat(20) }) },
      {
        weight: 12,
        arbitrary: fc.record({ type: fc.constant("step" as const), times: fc.integer({ min: 1, max: 12 }) }),
      },
      { weight: 1, arbitrary: fc.constant({ type: "embed" as const }) },
      { weight: 1, arbitrary: fc.constant({ type: "change" as const }) },
    );
    fc.assert(
      fc.property(
        fc.array(action, { minLength: 5, maxLength: 60 }),
        fc.integer({ min: 6, max: 20 }),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom(16, 50, 512),
        (actions, pages, maxBatch, prefillTokens) => {
          using engine = openEngine(source, { pages, maxBatch, prefillTokens, maxModelLength: 384 });
          const open = new Map<number, { kind: number; told: Told }>();
          const step = () => {
            for (const output of engine.step()) open.get(output.id)?.told.take(output);
            for (const [id, { kind, told }] of open) {
              if (!told.isFinished) continue;
              assert.deepEqual(told.answers, alone[kind]);
              open.delete(id);
            }
            const { pagesInUse, pagesCached, pagesFree, running, waiting } = engine.stats();
            assert.equal(pagesInUse + pagesCached + pagesFree, pages);
            assert.ok(running <= maxBatch);
            if (running === 0) assert.equal(pagesInUse, 0, `${waiting} wait`);
          };
          for (const one of actions) {
            if (one.type === "add") {
              const id = engine.add(kinds[one.kind]!);
              open.set(id, { kind: one.kind, told: new Told(kinds[one.kind]!.count) });
            } else if (one.type === "cancel") {
              const id = [...open.keys()][one.which];
              if (id === undefined) continue;
              engine.cancel(id);
              open.delete(id);
            } else if (one.type === "step") for (let times = 0; times < one.times; times++) step();
            else if (one.type === "embed") engine.addEmbedding(promptOf(70));
            else engine.weightsChanged();
          }
          for (let steps = 0; engine.hasWork; steps++) {
            assert.ok(steps < 5000, "it does not end");
            step();
          }
          assert.equal(open.size, 0);
          assert.equal(engine.stats().pagesInUse, 0);
        },
      ),
      { seed: 20241104, numRuns: 40 },
    );
  });
});

describe("the cache has the bytes a token that the accounting says", () => {
  it("of pages as they are allocated", () => {
    for (const changes of [{}, { claShareFactor: 1 }, { claShareFactor: 3, numKeyValueHeads: 4 }]) {
      using source = openTinyModel("bf16", changes);
      const { bytesPerToken } = account(source.model.config).kvCache;
      for (const [keyValueCacheType, share] of [
        ["bf16", 1],
        ["fp8", 0.5],
      ] as const) {
        using engine = openEngine(source, { keyValueCacheType, pages: 13 });
        assert.equal(engine.cacheBytes, 13 * 64 * bytesPerToken * share);
        assert.equal(engine.info.keyValueBytesPerToken, bytesPerToken * share);
      }
    }
  });

  it("5% of multi-head attention's for the ratios of hunyuan-large, 2.5% in 8 bits", () => {
    const ratios = { numHiddenLayers: 4, numAttentionHeads: 20, numKeyValueHeads: 2, claShareFactor: 2, headDim: 16 };
    const { claShareFactor, numAttentionHeads, numKeyValueHeads } = presets["hunyuan-large"];
    assert.equal(claShareFactor, ratios.claShareFactor);
    assert.equal(numAttentionHeads / numKeyValueHeads, ratios.numAttentionHeads / ratios.numKeyValueHeads);
    using source = openTinyModel("bf16", ratios);
    const multiHead = 2 * 2 * 4 * 20 * 16;
    for (const [keyValueCacheType, percent] of [
      ["bf16", 5],
      ["fp8", 2.5],
    ] as const) {
      using engine = openEngine(source, { keyValueCacheType, pages: 11 });
      assert.equal((100 * engine.cacheBytes) / (11 * 64) / multiHead, percent);
    }
    const large = presets["hunyuan-large"];
    const largeMultiHead = account(large).kvCache.multiHeadBytesPerToken;
    assert.equal(cacheBytesPerToken(large, "bf16") / largeMultiHead, 0.05);
    assert.equal(cacheBytesPerToken(large, "fp8") / largeMultiHead, 0.025);
  });

  it("and as many pages as its bytes hold, at least one text's", () => {
    const config = { ...presets.nano, maxPositionEmbeddings: 1000 };
    const pageBytes = 64 * cacheBytesPerToken(config, "bf16");
    const settle = (cacheBytes: number, maxBatch = 64) =>
      settleOptions(
        { computeType: "bf16", keyValueCacheType: "bf16", maxBatch, prefillTokens: 512, queueLimit: 9, cacheBytes },
        config,
      );
    assert.equal(settle(100.9 * pageBytes).pages, 100);
    assert.equal(settle(100.9 * pageBytes, 2).pages, 32);
    assert.match(thrownBy(() => settle(15.9 * pageBytes)).message, /holds 960 tokens, a text may have 1000/);
  });
});
