import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { openTinyModel, promptOf, requestOf, runOne, Told, uncachedHidden } from "../../test/engine-support.ts";
import { writeTinyModel } from "../../test/tiny-model.ts";
import { RookeryError } from "../base/errors.ts";
import { LocalEngine } from "./local-engine.ts";
import type { EngineEvent, EngineHandle, EngineRequest } from "./request.ts";
import { startEngine } from "./worker-engine.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-engine-"));
let modelFolder: string;
before(async () => {
  modelFolder = await writeTinyModel(folder);
});
after(() => fs.rmSync(folder, { recursive: true }));

const options = { cacheBytes: 1 << 22, maxModelLength: 400, queueLimit: 4, maxBatch: 4 };

async function collect(engine: EngineHandle, request: EngineRequest): Promise<Told> {
  const told = new Told(request.count);
  for await (const event of engine.generate(request)) told.take({ id: 0, type: "event", event });
  return told;
}

/** Waits until nothing is under way any more. */
async function settle(engine: EngineHandle) {
  for (;;) {
    const stats = await engine.stats();
    if (stats.waiting + stats.running === 0) return stats;
  }
}

for (const where of ["on this thread", "on a thread of its own"]) {
  describe(`an engine ${where}`, () => {
    const source = openTinyModel("bf16");
    let engine: EngineHandle;
    before(async () => {
      engine =
        where === "on this thread"
          ? new LocalEngine(source, options)
          : await startEngine(modelFolder, { ...options, threads: 2 });
    });
    after(async () => {
      await engine.close();
      source[Symbol.dispose]();
    });

    it("answers many at once as it answers one alone", async () => {
      const requests = Array.from({ length: 4 }, (_, at) =>
        requestOf(promptOf(20 + 50 * at, at), { seed: at, count: 2 }),
      );
      const together = await Promise.all(requests.map((request) => collect(engine, request)));
      using alone = openTinyModel("bf16");
      for (const [at, request] of requests.entries()) {
        assert.ok(together[at]!.isFinished);
        assert.deepEqual(together[at]!.answers, runOne(alone, request).answers);
      }
      const stats = await settle(engine);
      assert.equal(stats.pagesInUse, 0);
      assert.equal(stats.finishedRequests, 4);
    });

    it("gives an embedding", async () => {
      const tokens = promptOf(100);
      const embedding = await engine.embed(tokens);
      using alone = openTinyModel("bf16");
      const hidden = uncachedHidden(alone, tokens).toFloat32Array();
      const { hiddenSize } = engine.info;
      assert.equal(embedding.length, hiddenSize);
      let first = 0;
      for (let row = 0; row < 100; row++) first += hidden[row * hiddenSize]!;
      assert.equal(embedding[0], Math.fround(first / 100));
    });

    it("refuses what it cannot serve, in one line, and what is too much", async () => {
      const refused = (request: EngineRequest, code: string, message: RegExp) =>
        assert.rejects(collect(engine, request), (error) => {
          assert.ok(error instanceof RookeryError);
          assert.equal(error.code, code);
          assert.match(error.message, message);
          return true;
        });
      await refused(requestOf(promptOf(401)), "INVALID_OPTION", /401 tokens, the model reads at most 400/);
      await refused(requestOf(promptOf(4), { stopStrings: [""] }), "INVALID_OPTION", /stop string/);
      await refused(requestOf(promptOf(4), { count: 0 }), "INVALID_OPTION", /count is 0/);
      await assert.rejects(engine.embed(new Int32Array()), { code: "INVALID_OPTION" });
      const all = await Promise.allSettled(
        Array.from({ length: 20 }, (_, at) => collect(engine, requestOf(promptOf(9, at)))),
      );
      const failures = all.filter((one) => one.status === "rejected");
      assert.equal(failures.length, 12, "all but the four that run and the four that wait");
      for (const { reason } of failures) assert.equal((reason as RookeryError).code, "OVERLOADED");
    });

    it("frees the pages of who stops listening, and of who raises a signal", async () => {
      const before = (await settle(engine)).cancelledRequests;
      const events: EngineEvent[] = [];
      for await (const event of engine.generate(requestOf(promptOf(30), { maxTokens: 300 }))) {
        events.push(event);
        if (events.length === 3) break;
      }
      const controller = new AbortController();
      const stopped = engine.generate(requestOf(promptOf(30), { maxTokens: 300 }), controller.signal);
      await assert.rejects(
        async () => {
          for await (const event of stopped) if (event.type === "token") controller.abort();
        },
        { name: "AbortError" },
      );
      const stats = await settle(engine);
      assert.equal(stats.cancelledRequests, before + 2);
      assert.equal(stats.pagesInUse, 0);
      await assert.rejects(engine.embed(promptOf(3), controller.signal), { name: "AbortError" });
    });

    it("keeps answers to a grammar", async () => {
      const grammar = { type: "ebnf", grammar: 'root ::= "the " ("rock" | "sea" | "cold penguins")' } as const;
      const told = await collect(engine, requestOf(promptOf(20), { grammar, count: 3, maxTokens: 40 }));
      for (const { text, reason } of told.answers) {
        assert.match(text, /^the (rock|sea|cold penguins)$/);
        assert.equal(reason, "stop");
      }
      const wrong = { type: "json-schema", schema: "{" } as const;
      await assert.rejects(collect(engine, requestOf(promptOf(20), { grammar: wrong })), { code: "INVALID_OPTION" });
    });

    it("refuses what is no request, and goes on for the others", async () => {
      const wrong: [Record<string, unknown>, RegExp][] = [
        [{ stopStrings: "end" }, /stop strings are "end"/],
        [{ stopStrings: [1] }, /stop strings are \[1\]/],
        [{ stopTokenIds: undefined }, /stopTokenIds is undefined/],
        [{ sampling: undefined }, /sampling is undefined/],
        [{ sampling: { temperature: "0.5" } }, /temperature is "0.5"/],
        [{ sampling: { temperature: 1, logitBias: { 3: 1 } } }, /logitBias is \{"3":1\}/],
        [{ prompt: "text" }, /the prompt is "text"/],
        [{ maxTokens: "3" }, /maxTokens is "3"/],
        [{ grammar: "json" }, /grammar is "json"/],
        [{ grammar: { type: "json-schema", schema: {} } }, /grammar is/],
        [{ cacheSalt: 3 }, /cacheSalt is 3/],
      ];
      for (const [fields, message] of wrong) {
        const request = { ...requestOf(promptOf(4, 0)), ...fields } as unknown as EngineRequest;
        await assert.rejects(collect(engine, request), { code: "INVALID_OPTION", message });
      }
      await assert.rejects(engine.embed(null as unknown as Int32Array), { code: "INVALID_OPTION" });
      assert.ok((await collect(engine, requestOf(promptOf(4, 0)))).isFinished);
    });

    it("ends what is under way when it is closed", async () => {
      const under = collect(engine, requestOf(promptOf(30), { maxTokens: 300 }));
      const [closed] = await Promise.allSettled([under, engine.close()]);
      assert.equal(closed.status, "rejected");
      assert.equal((closed.reason as RookeryError).code, "ENGINE_STOPPED");
      await assert.rejects(collect(engine, requestOf(promptOf(3))), { code: "ENGINE_STOPPED" });
      await assert.rejects(engine.stats(), { code: "ENGINE_STOPPED" });
    });
  });
}

describe("starting an engine", () => {
  it("fails as loading does", async () => {
    await assert.rejects(startEngine(path.join(folder, "nothing")), RookeryError);
    await assert.rejects(startEngine(modelFolder, { cacheBytes: 1000 }), /holds 0 tokens, a text may have 700/);
  });

  it("can be given up", async () => {
    await assert.rejects(startEngine(modelFolder, options, { signal: AbortSignal.abort() }), { name: "AbortError" });
    const controller = new AbortController();
    const starting = startEngine(modelFolder, options, { signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    await assert.rejects(starting, { name: "AbortError" });
  });
});
