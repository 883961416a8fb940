/** The legacy route, which lm-eval's local-completions talks to: what that client reads, rule by rule. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { scriptedLogprob } from "../../../test/scripted-engine.ts";
import { json, readChunks, serveScripted, tokenizer } from "../../../test/serving.ts";

const path = "/v1/completions";
/** Exactly what lm-eval sends to score a continuation. */
const scoring = { model: "penguins/nano", temperature: 0, max_tokens: 1, logprobs: 1, seed: 1234, echo: true };
const first = [...(await tokenizer.encodeText("the chicks on the rock"))];
const second = [...(await tokenizer.encodeText("cold sea"))];

type Choice = {
  index: number;
  text: string;
  logprobs: { tokens: string[]; token_logprobs: (number | null)[]; top_logprobs: (Record<string, number> | null)[] };
};

const score = async (prompt: unknown, more: object = {}): Promise<Choice[]> => {
  const { post } = serveScripted();
  return (await json(post(path, { ...scoring, prompt, ...more }))).choices;
};

describe("POST /v1/completions for lm-eval", () => {
  it("1: takes a text, texts, ids and lists of ids, all read alike", async () => {
    const text = "the chicks on the rock";
    const [expected] = await score([first]);
    for (const prompt of [text, [text], first]) {
      const [choice] = await score(prompt);
      assert.deepEqual(choice, expected);
    }
  });

  it("2: lists one entry a prompt token and one a generated token, the first null", async () => {
    const [{ logprobs } = assert.fail()] = await score([first]);
    for (const list of [logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs]) {
      assert.equal(list.length, first.length + 1);
    }
    assert.equal(logprobs.token_logprobs[0], null);
    assert.equal(logprobs.top_logprobs[0], null);
  });

  it("2: also where the model would end the text at once", async () => {
    const generation = { bosTokenId: null, eosTokenIds: [...(await tokenizer.encodeText("the"))], padTokenId: null };
    const model = { id: "penguins/nano", tokenizer, generation, createdSeconds: 0 };
    const { post } = serveScripted({ model });
    const { choices } = await json(post(path, { ...scoring, prompt: [first] }));
    assert.equal(choices[0].logprobs.token_logprobs.length, first.length + 1);
    const written = await json(post(path, { prompt: [first], max_tokens: 5 }));
    assert.deepEqual([written.choices[0].text, written.choices[0].finish_reason], ["", "stop"]);
  });

  it("3: has finite numbers everywhere else", async () => {
    const [{ logprobs } = assert.fail()] = await score([first]);
    for (const value of logprobs.token_logprobs.slice(1)) assert.ok(Number.isFinite(value));
    for (const top of logprobs.top_logprobs.slice(1)) {
      const values = Object.values(top ?? {});
      assert.ok(values.length > 0 && values.every(Number.isFinite));
    }
  });

  it("3: −∞ becomes a number, since JSON has none", async () => {
    const { post, engine } = serveScripted();
    const generate = engine.generate.bind(engine);
    engine.generate = async function* (request, signal) {
      for await (const event of generate(request, signal)) {
        if (event.type !== "token" || event.logprobs === undefined) yield event;
        else yield { ...event, logprobs: { ...event.logprobs, logprob: Number.NEGATIVE_INFINITY } };
      }
    };
    const { choices } = await json(post(path, { ...scoring, prompt: [first] }));
    assert.equal(choices[0].logprobs.token_logprobs.at(-1), -9999);
  });

  it("4: a greedy token's value is the very number that is the largest of its top", async () => {
    // The token that the scripted engine likes best at place 1, whatever its text.
    const ids = Array.from({ length: 256 }, (_, id) => id);
    const best = ids.reduce((a, b) => (scriptedLogprob(b, 1) > scriptedLogprob(a, 1) ? b : a));
    const [{ logprobs } = assert.fail()] = await score([[first[0], best]]);
    assert.equal(logprobs.token_logprobs[1], Math.max(...Object.values(logprobs.top_logprobs[1] ?? {})));
    const other = ids.find((id) => scriptedLogprob(id, 1) < scriptedLogprob(best, 1));
    const [worse = assert.fail()] = await score([[first[0], other]]);
    assert.notEqual(worse.logprobs.token_logprobs[1], Math.max(...Object.values(worse.logprobs.top_logprobs[1] ?? {})));
  });

  it("5: numbers its choices in the order of the prompts", async () => {
    const choices = await score([first, second, first]);
    assert.deepEqual(
      choices.map(({ index }) => index),
      [0, 1, 2],
    );
    assert.ok(choices[1]?.text.startsWith("cold sea"));
  });

  it("6: a ragged batch equals its prompts one by one", async () => {
    const batch = await score([first, second, first.slice(0, 2)]);
    for (const [at, prompt] of [first, second, first.slice(0, 2)].entries()) {
      const [alone] = await score([prompt]);
      assert.deepEqual(batch[at], { ...alone, index: at });
    }
  });

  it("6: a batch larger than the engine's queue is still one answer a prompt", async () => {
    const { post, engine } = serveScripted();
    let most = 0;
    engine.pace = async () => {
      most = Math.max(most, engine.running);
    };
    const { choices } = await json(post(path, { ...scoring, prompt: Array.from({ length: 100 }, () => second) }));
    assert.equal(choices.length, 100);
    assert.ok(most <= 16, `${most} at a time`);
  });

  it("7, 8: with echo the text is the prompt's and exactly what was generated", async () => {
    const [one] = await score([first]);
    assert.equal(one?.text, "the chicks on the rockthe");
    const [many] = await score("the chicks on the rock", { max_tokens: 4 });
    assert.equal(many?.text, "the chicks on the rockthe pen");
    const [none] = await score([first], { max_tokens: 0 });
    assert.equal(none?.text, "the chicks on the rock");
    assert.equal(none?.logprobs.tokens.length, first.length);
  });

  it("9: stop may be empty, may have more than four texts, and is not in the text", async () => {
    const { post, engine } = serveScripted();
    const stop = ["\nclass ", "\ndef ", "\n# ", "\nif ", "guin", "<|eos|>"];
    const { choices } = await json(post(path, { prompt: "the", max_tokens: 256, stop, temperature: 0, seed: 1 }));
    assert.deepEqual([choices[0].text, choices[0].finish_reason], ["the pen", "stop"]);
    assert.ok(engine.requests[0]?.stopTokenIds.includes(tokenizer.controlId("eos")));
    const whole = await json(post(path, { prompt: "the", max_tokens: 4, stop: [] }));
    assert.equal(whole.choices[0].text, "the pen");
  });

  it("10: unknown fields are ignored, a seed is taken", async () => {
    const { post, engine } = serveScripted();
    const response = await post(path, { prompt: "the", seed: 1234, do_sample: false, until: ["x"], foo: { bar: 1 } });
    assert.equal(response.status, 200);
    assert.equal(engine.requests[0]?.seed, 1234);
  });

  it("12: errors are JSON with a status", async () => {
    const { post } = serveScripted();
    for (const prompt of [undefined, [], [[]], [[99_999]], "x".repeat(10_000), { a: 1 }]) {
      const response = await post(path, { ...scoring, prompt });
      assert.equal(response.status, 400);
      assert.equal((await json(response)).error.param, "prompt");
    }
  });

  it("reads the prompt's log-probabilities without the prefix cache", async () => {
    const { post, engine } = serveScripted();
    await post(path, { ...scoring, prompt: [first] });
    await post(path, { ...scoring, prompt: [first], echo: false });
    assert.deepEqual(
      engine.requests.map((request) => [request.promptLogprobs, request.topLogprobs]),
      [
        [true, 1],
        [false, 1],
      ],
    );
  });
});

describe("POST /v1/completions", () => {
  it("gives n answers a prompt, numbered prompt by prompt", async () => {
    const { post } = serveScripted();
    const { choices, usage } = await json(post(path, { prompt: ["the", "cold"], n: 2, max_tokens: 3 }));
    assert.deepEqual(
      choices.map((choice: Choice) => [choice.index, choice.text]),
      [
        [0, "the p"],
        [1, " pen"],
        [2, "the p"],
        [3, " pen"],
      ],
    );
    assert.equal(usage.completion_tokens, 12);
    assert.equal((await post(path, { prompt: new Array(100).fill("a"), n: 3 })).status, 400);
    assert.equal((await post(path, { prompt: "a", best_of: 2 })).status, 400);
    assert.equal((await post(path, { prompt: "a", suffix: "b" })).status, 400);
    assert.equal((await post(path, { prompt: "a", suffix: "" })).status, 200);
  });

  it("writes 16 tokens unless told otherwise, as OpenAI does", async () => {
    const { post } = serveScripted();
    assert.equal((await json(post(path, { prompt: "the" }))).usage.completion_tokens, 16);
  });

  it("streams what it answers at once", async () => {
    const { post } = serveScripted();
    const fields = { prompt: ["the", "cold"], n: 2, max_tokens: 3, echo: true, logprobs: 1 };
    const whole = await json(post(path, fields));
    const options = { stream: true, stream_options: { include_usage: true } };
    const { chunks, isDone } = await readChunks(post(path, { ...fields, ...options }));
    assert.ok(isDone);
    assert.deepEqual(chunks.at(-1).usage, whole.usage);
    assert.ok(chunks.every(({ object }) => object === "text_completion"));
    for (const choice of whole.choices) {
      const own = chunks.flatMap(({ choices }) => choices).filter(({ index }) => index === choice.index);
      assert.equal(own.map(({ text }) => text).join(""), choice.text);
      for (const list of ["tokens", "token_logprobs", "top_logprobs", "text_offset"]) {
        assert.deepEqual(
          own.flatMap(({ logprobs }) => logprobs?.[list] ?? []),
          choice.logprobs[list],
          list,
        );
      }
      assert.equal(own.at(-1).finish_reason, choice.finish_reason);
    }
  });

  it("counts where tokens begin in characters", async () => {
    const { post } = serveScripted({ script: "🐧the" });
    const { choices } = await json(post(path, { prompt: "é🐧", max_tokens: 5, echo: true, logprobs: 0 }));
    const [{ text, logprobs }] = choices;
    assert.equal(text, "é🐧🐧the");
    assert.equal(logprobs.text_offset.at(-1), 3);
  });

  it("ends the other prompts of a batch when one fails", async () => {
    const { post, engine } = serveScripted();
    let calls = 0;
    engine.pace = async () => {
      if (++calls === 20) throw new Error("broken");
    };
    const response = await post(path, { prompt: ["a", "b", "c", "d"], max_tokens: 100 });
    assert.equal(response.status, 500);
    assert.equal(engine.running, 0);
    assert.equal(engine.cancelled, 4);
  });

  it("tells which experts handled the tokens of each prompt", async () => {
    const { post } = serveScripted();
    const fields = { prompt: [first, second], max_tokens: 2, rookery: { experts: true } };
    const { rookery } = await json(post(path, fields));
    const ofSecond = rookery.experts.filter(({ index }: { index: number }) => index === 1);
    assert.equal(ofSecond.length, second.length + 2);
    const { chunks } = await readChunks(post(path, { ...fields, stream: true }));
    const streamed = chunks.flatMap((chunk) => chunk.rookery?.experts ?? []);
    assert.deepEqual(
      streamed.filter(({ index }) => index === 1),
      ofSecond,
    );
    assert.equal(streamed.length, rookery.experts.length);
  });

  it("bounds how many log-probabilities one answer lists", async () => {
    const { post } = serveScripted({ info: { maxModelLength: 2 ** 20 } });
    const prompt = new Array(120_000).fill(first[0]);
    const response = await post(path, { ...scoring, prompt, logprobs: 20 });
    assert.equal(response.status, 400);
    assert.equal((await json(response)).error.param, "logprobs");
  });
});
