import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { type LiveServer, startLiveServer } from "../../test/live-server.ts";
import { tinyTokenizer } from "../../test/tiny-model.ts";
import { BpeTrainer } from "../text/bpe-trainer.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { openEndpointModel } from "./endpoint-model.ts";
import { type LocalModel, openLocalModel } from "./local-model.ts";
import type { EvalModel } from "./model.ts";
import { windowsOf } from "./tokenized-model.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-eval-model-"));
let server: LiveServer;
let local: LocalModel;
let remote: EvalModel;

before(async () => {
  server = await startLiveServer();
  local = await openLocalModel(server.modelFolder, { threads: 1, cacheBytes: 1 << 23 }, {});
  remote = await openEndpointModel({ url: server.url, concurrency: 4 }, true);
});
after(async () => {
  await local.close();
  await server.close();
  fs.rmSync(folder, { recursive: true });
});

describe("a model", () => {
  const pairs: [context: string, continuation: string][] = [
    ["the penguins on the rock", " and the sea"],
    ["the penguins on the rock  ", "and the sea"],
    ["企鹅在岩石上🐧", "，很冷。"],
    ["", "the cold sea"],
    [`${"the chicks and the rock ".repeat(200)}:`, " the sea"],
  ];

  it("says the same of a continuation in process and behind a server", async () => {
    for (const [context, continuation] of pairs) {
      const here = await local.likelihood(context, continuation);
      const there = await remote.likelihood(context, continuation);
      assert.ok(Math.abs(here.logprob - there.logprob) < 1e-3, `${context}: ${here.logprob} and ${there.logprob}`);
      assert.deepEqual({ ...here, logprob: 0 }, { ...there, logprob: 0 });
      assert.ok(here.logprob < 0 && here.tokens > 0);
    }
    const { cutTokens } = await local.likelihood(...pairs.at(-1)!);
    assert.ok(cutTokens > 0);
  });

  it("is greedy where it would write that itself", async () => {
    const prompt = "the rookery on the";
    const request = { prompt, maxTokens: 4, stop: [], temperature: 0, seed: 1 };
    const { text } = await local.generate(request);
    assert.equal((await remote.generate(request)).text, text);
    // what it writes is encoded anew, and may then be other tokens
    const [whole, head] = await local.encode([prompt + text, prompt]);
    const [again] = await local.encode([local === undefined ? "" : prompt + text]);
    assert.deepEqual(again, whole);
    if (whole!.length === head!.length + 4) assert.equal((await local.likelihood(prompt, text)).isGreedy, true);
    assert.equal((await local.likelihood(prompt, "qqqq")).isGreedy, false);
  });

  it("sums a long text in windows to the likelihood of the whole", async () => {
    const text = "the penguins, the chicks, the rock and the cold sea. 企鹅！".repeat(4);
    const whole = await local.rolling(text, {});
    const alone = await local.likelihood("", text);
    const sum = whole.reduce((total, { logprob }) => total + logprob, 0);
    assert.ok(Math.abs(sum - alone.logprob) < 1e-3);
    assert.equal(
      whole.reduce((total, { bytes }) => total + bytes, 0),
      Buffer.byteLength(text),
    );
    const pieces = await local.rolling(text, { windowTokens: 20 });
    assert.equal(pieces.length, whole.length);
    assert.ok(pieces.every(({ position }) => position <= 20));
    assert.deepEqual(
      (await remote.rolling(text.slice(0, 40), {})).map(({ bytes }) => bytes),
      (await local.rolling(text.slice(0, 40), {})).map(({ bytes }) => bytes),
    );
  });

  it("reads what several prompts begin with once", async () => {
    const shots = "Question: the penguins? Answer: the rock. ".repeat(20);
    const before = await local.prefixStats();
    for (const answer of [" sea", " rock", " chick", " cold"]) await local.likelihood(shots, answer);
    const { promptTokens, cachedTokens } = await local.prefixStats();
    const share = (cachedTokens - before.cachedTokens) / (promptTokens - before.promptTokens);
    assert.ok(share > 0.6, `${share} of the prompts came from the cache`);
  });

  it("ends at a stop, and answers a chat", async () => {
    const request = { prompt: "the rookery on the", maxTokens: 12, stop: [] as string[], temperature: 0, seed: 1 };
    const { text } = await local.generate(request);
    const stop = [...text].slice(2, 4).join("");
    for (const model of [local, remote]) {
      const answer = await model.generate({ ...request, stop: [stop] });
      assert.equal(answer.text, text.slice(0, text.indexOf(stop)));
      assert.equal(answer.finishReason, "stop");
    }
    const chat = { ...request, prompt: [{ role: "user" as const, content: "the sea?" }] };
    assert.equal((await remote.generate(chat)).text, (await local.generate(chat)).text);
  });

  it("writes on in the assistant's own turn, and reads a text as a document where that is asked for", async () => {
    const messages = [
      { role: "user" as const, content: "the sea?" },
      { role: "assistant" as const, content: "the cold" },
    ];
    const request = { maxTokens: 6, stop: [], temperature: 0, seed: 1 };
    const counts: number[] = [];
    for (const asked of [{ prompt: messages }, { prompt: "the rock", asDocument: true }, { prompt: "the rock" }]) {
      const [here, there] = [
        await local.generate({ ...request, ...asked }),
        await remote.generate({ ...request, ...asked }),
      ];
      assert.equal(here.text, there.text);
      assert.equal(here.promptTokens, there.promptTokens);
      counts.push(here.promptTokens);
    }
    const [sea, cold, rock] = (await local.encode(["the sea?", "the cold", "the rock"])).map(({ length }) => length);
    assert.deepEqual(counts, [sea! + cold! + 2, rock! + 1, rock!]);
  });
});

it("a tokenizer that is not the server's is told of at once", async () => {
  const other = path.join(folder, "other");
  const trainer = new BpeTrainer();
  trainer.add("counted 1,048 eggs of the penguins of the rookery, isn't it");
  await Tokenizer.fromTraining(trainer.train({ vocabularySize: 320 })).save(other);
  await assert.rejects(openEndpointModel({ url: server.url, concurrency: 1, tokenizer: other }, true), {
    code: "ENDPOINT_FAILED",
    message: /tells of \d+ tokens where the tokenizer at hand has \d+/,
  });
  const same = path.join(folder, "same");
  await tinyTokenizer().save(same);
  const model = await openEndpointModel({ url: server.url, concurrency: 1, tokenizer: same }, true);
  assert.ok((await model.likelihood("the rock", " and the sea")).logprob < 0);
});

it("windows predict each token once, with as much before it as fits", () => {
  const tokens = Int32Array.from({ length: 23 }, (_, at) => at);
  const windows = [...windowsOf(tokens, 99, 10)];
  assert.deepEqual(
    windows.map(({ input, from }) => [[...input], from]),
    [
      [[99, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 1],
      [[9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], 1],
      [[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22], 8],
    ],
  );
});

it("a server whose tokenizer goes away in the middle is told of in one line", async () => {
  let isGone = false;
  const model = await openEndpointModel(
    {
      url: server.url,
      concurrency: 1,
      client: { retries: 0 },
      fetch: (url, init) => (isGone ? Promise.reject(new TypeError("fetch failed")) : fetch(url, init)),
    },
    true,
  );
  isGone = true;
  await assert.rejects(model.likelihood("the rock", " and a new sea"), {
    code: "ENDPOINT_FAILED",
    message: /does not answer: fetch failed/,
  });
});
