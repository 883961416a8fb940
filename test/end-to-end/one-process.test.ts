import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { type LoadedEngine, loadEngine, RookeryError, train } from "../../src/index.ts";
import { liveMemory } from "../../src/kernels/bindings/memory.ts";
import { writeTinyModel } from "../tiny-model.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-one-process-"));
let model = "";
before(async () => {
  model = await writeTinyModel(folder);
  fs.mkdirSync(path.join(folder, "texts"));
  for (let file = 0; file < 12; file++) {
    const lines = Array.from({ length: 30 }, (_, line) => `Note ${file}: penguin ${line * 7} met 企鹅 ${file ^ line}.`);
    fs.writeFileSync(path.join(folder, "texts", `${file}.txt`), `${lines.join("\n")}\n`);
  }
});
after(() => fs.rmSync(folder, { recursive: true }));

const settings = { threads: 1, cacheBytes: 2 ** 22 };

async function write(engine: LoadedEngine, prompt: string, signal?: AbortSignal): Promise<string> {
  let text = "";
  for await (const piece of engine.write(prompt, { seed: 3, maxTokens: 200, signal })) text += `${piece.token} `;
  return text;
}

const openFiles = () => (os.platform() === "linux" ? fs.readdirSync("/proc/self/fd").length : 0);
const workers = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;

test("two engines and a trainer in one process, each cancelled half-way, disturb nobody and leave nothing", async () => {
  const prompts = ["the penguins", "the cold sea"] as const;
  const alone: string[] = [];
  for (const prompt of prompts) {
    await using engine = await loadEngine(model, settings);
    alone.push(await write(engine, prompt));
  }
  const atStart = { files: openFiles(), workers: workers(), memory: liveMemory() };

  const stopTraining = new AbortController();
  let steps = 0;
  const training = train(
    {
      preset: "pico",
      data: [path.join(folder, "texts")],
      steps: 5000,
      runsFolder: path.join(folder, "runs"),
      threads: 1,
    },
    {
      signal: stopTraining.signal,
      onEvent: (event) => {
        if (event.type === "training-step" && ++steps === 3) stopTraining.abort();
      },
    },
  ).then(
    () => assert.fail("it was to be stopped"),
    (error: unknown) => error,
  );
  await using first = await loadEngine(model, settings);
  await using second = await loadEngine(model, settings);
  const stopFirst = new AbortController();
  const cancelled = (async () => {
    for await (const _ of first.write(prompts[0], { seed: 9, maxTokens: 400, signal: stopFirst.signal }))
      stopFirst.abort();
  })().then(
    () => assert.fail("it was to be cancelled"),
    (error: unknown) => error,
  );
  const together = await Promise.all([write(first, prompts[0]), write(second, prompts[1])]);
  assert.deepEqual(together, alone);
  assert.equal(((await cancelled) as Error).name, "AbortError");
  assert.equal((await first.stats()).pagesInUse, 0);

  const stopped = await training;
  assert.ok(stopped instanceof RookeryError && stopped.code === "INTERRUPTED", String(stopped));
  assert.ok(steps >= 3 && steps < 5000);
  await Promise.all([first.close(), second.close()]);
  assert.deepEqual({ files: openFiles(), workers: workers(), memory: liveMemory() }, atStart);
});

test("a program's wrong option is one line that names it, and loading is cancelled by its signal", async () => {
  await assert.rejects(loadEngine(model, { thread: 1 } as object), { code: "UNKNOWN_OPTION", message: /thread/ });
  await assert.rejects(train({ data: ["x"], stepz: 1 } as object), { code: "UNKNOWN_OPTION", message: /stepz/ });
  await assert.rejects(train(3 as unknown as object), { code: "INVALID_OPTION", message: "the options are 3" });
  await assert.rejects(loadEngine(null as unknown as string), { code: "INVALID_OPTION", message: /"model"/ });
  await assert.rejects(loadEngine(model, { runsFolder: 3 } as object), {
    code: "INVALID_OPTION",
    message: /"runsFolder"/,
  });
  await assert.rejects(loadEngine("nano", { runsFolder: folder }), { code: "MODEL_NOT_FOUND" });
  await assert.rejects(loadEngine(model, settings, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("what a program's own listener throws comes out of the call, and ends no process", async () => {
  const onEvent = () => {
    throw new Error("mine");
  };
  await assert.rejects(
    train({ data: [path.join(folder, "texts")], steps: 1, runsFolder: folder, name: "thrown" }, { onEvent }),
    /mine/,
  );
});

test("an answer that is asked for wrongly is one line, and the engine goes on", async () => {
  await using engine = await loadEngine(model, settings);
  const ask = async (...asked: unknown[]) => {
    let text = "";
    for await (const piece of engine.write(...(asked as Parameters<typeof engine.write>))) text += piece.text;
    return text;
  };
  const prompt = "Note";
  await assert.rejects(ask(prompt, { stop: "x" }), { code: "INVALID_OPTION", message: /stop strings/ });
  await assert.rejects(ask(prompt, { maxToken: 3 }), { code: "UNKNOWN_OPTION", hint: /maxTokens/ });
  await assert.rejects(ask(42), { code: "BAD_DATA", hint: /list of messages/ });
  await assert.rejects(ask([null]), { code: "BAD_DATA", message: /message 0/ });
  const first = engine.write(prompt, { maxTokens: 8, seed: 1 });
  await first.next();
  await first.return({ reason: "length" }); // as `break` does
  await first.return({ reason: "length" });
  assert.equal(await ask(prompt, { maxTokens: 4, seed: 1 }), await ask(prompt, { maxTokens: 4, seed: 1 }));
  await engine.close();
  await engine.close();
  await assert.rejects(ask(prompt), { code: "ENGINE_STOPPED" });
});
