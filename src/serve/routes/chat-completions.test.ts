import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { json, readChunks, readEvents, serveScripted, tokenizer } from "../../../test/serving.ts";
import { RookeryError } from "../../base/errors.ts";

const path = "/v1/chat/completions";
const messages = [{ role: "user", content: "the rock" }];

describe("POST /v1/chat/completions", () => {
  it("answers in one object", async () => {
    const { post, engine } = serveScripted();
    const answer = await json(post(path, { messages, max_tokens: 5, model: "penguins/nano" }));
    assert.match(answer.id, /^chatcmpl-[0-9a-f]{32}$/);
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.model, "penguins/nano");
    const [prompt] = engine.requests.map((request) => request.prompt);
    assert.deepEqual(answer.choices, [
      {
        index: 0,
        message: { role: "assistant", content: "the pengu", refusal: null },
        logprobs: null,
        finish_reason: "length",
      },
    ]);
    assert.deepEqual(answer.usage, {
      prompt_tokens: prompt?.length,
      completion_tokens: 5,
      total_tokens: (prompt?.length ?? 0) + 5,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
    assert.equal(answer.rookery, undefined);
  });

  it("asks the engine for what the fields say", async () => {
    const { post, engine } = serveScripted();
    await post(path, {
      messages,
      max_completion_tokens: 3,
      max_tokens: 100,
      n: 2,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 7,
      min_p: 0.1,
      repetition_penalty: 1.1,
      presence_penalty: 0.2,
      frequency_penalty: 0.3,
      logit_bias: { 5: -100 },
      seed: -1,
      stop: ["the end", "<|eos|>"],
      logprobs: true,
      top_logprobs: 2,
      response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } },
    });
    const [{ prompt, ...request } = assert.fail()] = engine.requests;
    assert.deepEqual(request, {
      count: 2,
      maxTokens: 3,
      sampling: {
        temperature: 0.5,
        topK: 7,
        topP: 0.9,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 0.2,
        frequencyPenalty: 0.3,
        logitBias: [[5, -100]],
      },
      seed: 2 ** 32 - 1,
      stopStrings: ["the end"],
      stopTokenIds: [tokenizer.controlId("endOfText"), tokenizer.controlId("eos")],
      topLogprobs: 2,
      grammar: { type: "json-schema", schema: '{"type":"object"}' },
    });
  });

  it("takes what the makers of the model say where the client says nothing", async () => {
    const generation = { bosTokenId: null, eosTokenIds: [7], padTokenId: null, temperature: 0.3, topK: 9 };
    const model = { id: "m", tokenizer, generation, createdSeconds: 0 };
    const { post, engine } = serveScripted({ model });
    await post(path, { messages });
    await post(path, { messages, temperature: 1, top_k: 0, ignore_eos: true, stop_token_ids: [8] });
    const [first, second] = engine.requests;
    assert.deepEqual([first?.sampling.temperature, first?.sampling.topK], [0.3, 9]);
    assert.ok(first?.stopTokenIds.includes(7));
    assert.deepEqual([second?.sampling.temperature, second?.sampling.topK], [1, undefined]);
    assert.deepEqual(second?.stopTokenIds, [8]);
    assert.notEqual(first?.seed, second?.seed);
  });

  it("lets an answer be as long as there is room, and refuses a prompt that leaves none", async () => {
    const { post, engine } = serveScripted({ info: { maxModelLength: 10 } });
    const answer = await json(post(path, { messages }));
    const used = engine.requests[0]?.prompt.length ?? 0;
    assert.equal(answer.usage.completion_tokens, 10 - used);
    assert.equal((await json(post(path, { messages, max_tokens: 5000 }))).usage.total_tokens, 10);
    const long = [{ role: "user", content: "x".repeat(12) }];
    const refused = await post(path, { messages: long });
    assert.equal(refused.status, 400);
    const { error } = await json(refused);
    assert.deepEqual([error.code, error.param], ["context_length_exceeded", "messages"]);
  });

  it("streams a role, texts, a reason, usage where asked for, and the end", async () => {
    const { post } = serveScripted();
    const fields = { messages, max_tokens: 4, stream: true };
    const { chunks, isDone } = await readChunks(post(path, fields));
    assert.ok(isDone);
    assert.deepEqual(
      chunks.map(({ choices: [choice] }) => [choice.delta, choice.finish_reason]),
      [
        [{ role: "assistant", content: "" }, null],
        ...["the", " ", "p", "en"].map((content) => [{ content }, null]),
        [{}, "length"],
      ],
    );
    assert.ok(chunks.every((chunk) => !("usage" in chunk) && chunk.object === "chat.completion.chunk"));
    for (const key of ["id", "created", "model"]) assert.equal(new Set(chunks.map((chunk) => chunk[key])).size, 1, key);
    const counted = await readChunks(post(path, { ...fields, stream_options: { include_usage: true } }));
    const last = counted.chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, 4);
    assert.ok(counted.chunks.slice(0, -1).every((chunk) => chunk.usage === null && chunk.choices.length === 1));
  });

  it("streams what it answers at once, for several answers and with log-probabilities", async () => {
    const { post } = serveScripted();
    const fields = { messages, max_tokens: 6, n: 3, logprobs: true, top_logprobs: 1, stop: "engu" };
    const whole = await json(post(path, fields));
    const { chunks } = await readChunks(post(path, { ...fields, stream: true }));
    for (const { index, message, logprobs, finish_reason } of whole.choices) {
      const own = chunks.map(({ choices }) => choices[0]).filter((choice) => choice.index === index);
      assert.equal(own.map(({ delta }) => delta.content ?? "").join(""), message.content);
      assert.deepEqual(
        own.flatMap((choice) => choice.logprobs?.content ?? []),
        logprobs.content,
      );
      assert.equal(own.at(-1).finish_reason, finish_reason);
      assert.deepEqual(own.filter(({ delta }) => delta.role).length, 1);
    }
    assert.equal(whole.choices[0].message.content, "the p");
    assert.equal(whole.choices[0].finish_reason, "stop");
  });

  it("shows a stop text's token names as the end, and gives the bytes of broken characters", async () => {
    const { post } = serveScripted({ script: "é" });
    const { choices } = await json(post(path, { messages, max_tokens: 1, logprobs: true }));
    assert.deepEqual(choices[0].logprobs.content[0], {
      token: "bytes:\\xc3",
      bytes: [0xc3],
      logprob: choices[0].logprobs.content[0].logprob,
      top_logprobs: [],
    });
    assert.equal(choices[0].message.content, "\ufffd");
  });

  it("tells which experts handled each token, in one object and in chunks", async () => {
    const { post, engine } = serveScripted();
    const fields = { messages, max_tokens: 3, rookery: { experts: true } };
    const { rookery } = await json(post(path, fields));
    const length = (engine.requests[0]?.prompt.length ?? 0) + 3;
    assert.deepEqual(
      rookery.experts.map((entry: { position: number }) => entry.position),
      [...new Array(length).keys()],
    );
    assert.deepEqual(rookery.experts.at(-1), {
      index: 0,
      position: length - 1,
      token: rookery.experts.at(-1).token,
      text: "p",
      experts: rookery.experts.at(-1).experts,
      probabilities: [
        [0.6667, 0.3333],
        [0.6667, 0.3333],
      ],
    });
    const { chunks } = await readChunks(post(path, { ...fields, stream: true }));
    assert.deepEqual(
      chunks.flatMap((chunk) => chunk.rookery?.experts ?? []),
      rookery.experts,
    );
    const far = serveScripted({ info: { maxModelLength: 2 ** 22 } });
    assert.equal((await far.post(path, { ...fields, max_tokens: 2 ** 20 })).status, 400);
  });

  it("ignores tools and says so once, but refuses when one must be called", async () => {
    const { post, warnings } = serveScripted();
    const tools = [{ type: "function", function: { name: "f", parameters: {} } }];
    for (const choice of [undefined, "auto", "none"]) {
      assert.equal((await post(path, { messages, tools, max_tokens: 1, tool_choice: choice })).status, 200);
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /tools/);
    for (const choice of ["required", { type: "function", function: { name: "f" } }]) {
      const refused = await post(path, { messages, tools, tool_choice: choice });
      assert.equal(refused.status, 400);
      assert.equal((await json(refused)).error.param, "tool_choice");
    }
    assert.equal((await post(path, { messages, functions: [], function_call: { name: "f" } })).status, 400);
  });

  it("refuses with 429 what the engine has no room for, in a stream too", async () => {
    const { post, engine } = serveScripted();
    engine.refusal = new RookeryError("OVERLOADED", "4 requests wait", "try again");
    for (const stream of [false, true]) {
      const response = await post(path, { messages, stream });
      assert.equal(response.status, 429);
      assert.equal(response.headers.get("retry-after"), "1");
      const { error } = await json(response);
      assert.deepEqual([error.type, error.code], ["rate_limit_error", "rate_limit_exceeded"]);
    }
  });

  it("tells an engine's fault to the operator, not to the client", async () => {
    const { post, engine, warnings } = serveScripted();
    engine.pace = async () => {
      throw new TypeError("secret");
    };
    const response = await post(path, { messages });
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /secret/);
    assert.match(warnings[0] ?? "", /TypeError: secret\n/);
  });

  it("ends the work of a client that goes away, in a stream and before", async () => {
    const { app, engine, post, warnings } = serveScripted();
    const body = (await post(path, { messages, stream: true })).body;
    const reader = body?.getReader();
    await reader?.read();
    await reader?.cancel();
    while (engine.cancelled === 0) await setImmediate();
    assert.equal(engine.running, 0);

    const controller = new AbortController();
    const waiting = app.request(path, {
      method: "POST",
      body: JSON.stringify({ messages }),
      headers: { "Content-Type": "application/json" },
      signal: controller.signal,
    });
    while (engine.running === 0) await setImmediate();
    controller.abort();
    assert.equal((await waiting).status, 499);
    assert.deepEqual([engine.running, engine.cancelled], [0, 2]);
    assert.deepEqual(warnings, []);
    assert.match(await (await app.request("/metrics")).text(), /^rookery_http_requests_in_flight 0$/m);
  });

  it("ends a stream with an error event when the server stops", async () => {
    const [draining, stopping] = [new AbortController(), new AbortController()];
    const { app, post } = serveScripted({ draining: draining.signal, stopping: stopping.signal });
    const response = await post(path, { messages, stream: true });
    draining.abort();
    assert.equal((await app.request("/ready")).status, 503);
    assert.equal((await app.request("/health")).status, 200);
    const refused = await post(path, { messages });
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get("retry-after"), "1");
    stopping.abort();
    const last = readEvents(await response.text()).at(-1);
    assert.equal(JSON.parse(last?.data ?? "").error.code, "service_unavailable");
  });

  it("takes a bounded number of requests at a time", async () => {
    const { post, engine } = serveScripted({ limits: { requestsInFlight: 2 } });
    const gate = Promise.withResolvers<void>();
    engine.pace = () => gate.promise;
    const waiting = [post(path, { messages }), post(path, { messages })];
    while (engine.running < 2) await setImmediate();
    assert.equal((await post(path, { messages })).status, 429);
    gate.resolve();
    for (const response of waiting) assert.equal((await response).status, 200);
    assert.equal((await post(path, { messages })).status, 200);
  });
});
