/** Responses, embeddings, models, the tokenizer's routes, and what is said of routes that are not there. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Hono } from "hono";
import { json, readEvents, serveScripted, tokenizer } from "../../../test/serving.ts";

describe("POST /v1/responses", () => {
  const path = "/v1/responses";

  it("answers in one object, and a cut answer is incomplete", async () => {
    const { post, engine } = serveScripted();
    const answer = await json(post(path, { input: "the rock", instructions: "the sea", max_output_tokens: 3 }));
    assert.deepEqual([answer.object, answer.status, answer.store], ["response", "incomplete", false]);
    assert.deepEqual(answer.incomplete_details, { reason: "max_output_tokens" });
    assert.deepEqual(answer.output[0].content, [{ type: "output_text", text: "the p", annotations: [], logprobs: [] }]);
    assert.equal(answer.usage.input_tokens, engine.requests[0]?.prompt.length);
    assert.equal(answer.usage.input_tokens_details.cached_tokens, 3);
    assert.equal(answer.usage.output_tokens, 3);
  });

  it("is completed where the model stops by itself", async () => {
    const generation = { bosTokenId: null, eosTokenIds: [...(await tokenizer.encodeText("p"))], padTokenId: null };
    const { post } = serveScripted({ model: { id: "m", tokenizer, generation, createdSeconds: 0 } });
    const answer = await json(post(path, { input: "the rock" }));
    assert.deepEqual([answer.status, answer.incomplete_details], ["completed", null]);
    assert.equal(answer.output[0].content[0].text, "the ");
  });

  it("is the chat of instructions and input", async () => {
    const { post, engine } = serveScripted();
    const items = [
      { role: "user", content: [{ type: "input_text", text: "the rock" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "the sea" }] },
      { role: "user", content: "cold" },
    ];
    await post(path, { input: items, instructions: "the chicks", max_output_tokens: 1 });
    const chat = [
      { role: "system", content: "the chicks" },
      { role: "user", content: "the rock" },
      { role: "assistant", content: "the sea" },
      { role: "user", content: "cold" },
    ];
    await post("/v1/chat/completions", { messages: chat, max_tokens: 1 });
    assert.deepEqual(engine.requests[0]?.prompt, engine.requests[1]?.prompt);
  });

  it("streams named events in OpenAI's order, numbered", async () => {
    const { post } = serveScripted();
    const fields = { input: "the rock", max_output_tokens: 2, stream: true, include: ["message.output_text.logprobs"] };
    const events = readEvents(await (await post(path, fields)).text());
    assert.deepEqual(
      events.map(({ event }) => event),
      [
        ...["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"],
        ...["response.output_text.delta", "response.output_text.delta", "response.output_text.done"],
        ...["response.content_part.done", "response.output_item.done", "response.incomplete"],
      ],
    );
    const data = events.map((event) => JSON.parse(event.data));
    assert.deepEqual(
      data.map((one) => [one.type, one.sequence_number]),
      events.map(({ event }, index) => [event, index]),
    );
    assert.equal(data.at(-1).response.output[0].content[0].text, "the ");
    assert.equal(data.at(-1).response.output[0].content[0].logprobs.length, 2);
    assert.equal(data.at(-1).response.usage.output_tokens, 2);
  });

  it("ends a broken stream with an error event", async () => {
    const { post, engine } = serveScripted();
    let tokens = 0;
    engine.pace = async () => {
      if (++tokens > 3) throw new Error("broken");
    };
    const events = readEvents(await (await post(path, { input: "x", stream: true })).text());
    assert.equal(events.at(-1)?.event, "error");
    assert.equal(JSON.parse(events.at(-1)?.data ?? "").code, "internal_error");
  });

  it("keeps to a format", async () => {
    const { post, engine } = serveScripted();
    const schema = { type: "object", properties: {} };
    await post(path, {
      input: "x",
      max_output_tokens: 1,
      text: { format: { type: "json_schema", name: "a", schema } },
    });
    assert.deepEqual(engine.requests[0]?.grammar, { type: "json-schema", schema: JSON.stringify(schema) });
  });

  it("refuses what would need a memory", async () => {
    const { post } = serveScripted();
    const bad = [
      { previous_response_id: "resp_1" },
      { conversation: "x" },
      { background: true },
      { prompt: { id: "x" } },
      { tool_choice: "required" },
      { input: [{ type: "item_reference", id: "x" }] },
      { input: [{ role: "user", content: [{ type: "input_image" }] }] },
      { input: undefined },
    ];
    for (const fields of bad) {
      const response = await post(path, { input: "x", ...fields });
      assert.equal(response.status, 400, JSON.stringify(fields));
    }
    assert.equal((await post(path, { input: "x", store: true, background: false, max_output_tokens: 1 })).status, 200);
  });
});

describe("POST /v1/embeddings", () => {
  const path = "/v1/embeddings";

  it("gives vectors of length 1, as numbers or as base64 of the same", async () => {
    const { post } = serveScripted();
    const { data, usage } = await json(post(path, { input: ["the", "the rock"] }));
    assert.deepEqual(
      data.map(({ index }: { index: number }) => index),
      [0, 1],
    );
    for (const { embedding } of data) assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-6);
    // Behind the start token each.
    const lengths = [await tokenizer.encodeText("the"), await tokenizer.encodeText("the rock")].map(
      (ids) => ids.length + 1,
    );
    assert.equal(usage.prompt_tokens, lengths[0]! + lengths[1]!);
    const encoded = await json(post(path, { input: ["the", "the rock"], encoding_format: "base64" }));
    const bytes = Buffer.from(encoded.data[1].embedding, "base64");
    const floats = Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(4 * at));
    assert.deepEqual(floats, data[1].embedding);
  });

  it("takes ids as they are", async () => {
    const { post } = serveScripted();
    assert.equal((await json(post(path, { input: [1, 2, 3] }))).usage.prompt_tokens, 3);
    assert.equal((await json(post(path, { input: [[1], [2, 3]] }))).data.length, 2);
  });

  it("refuses other dimensions, encodings and texts that are too long", async () => {
    const { post } = serveScripted();
    assert.equal((await post(path, { input: "x", dimensions: 8 })).status, 200);
    for (const fields of [{ dimensions: 4 }, { encoding_format: "int8" }, { input: "x".repeat(500) }, { input: [] }]) {
      assert.equal((await post(path, { input: "x", ...fields })).status, 400, JSON.stringify(fields).slice(0, 50));
    }
  });
});

describe("GET /v1/models", () => {
  it("lists the one model, and finds it by a name with slashes", async () => {
    const { app } = serveScripted();
    const list = await json(app.request("/v1/models"));
    assert.equal(list.object, "list");
    assert.equal(list.data.length, 1);
    assert.deepEqual(await json(app.request("/v1/models/penguins/nano")), list.data[0]);
    assert.deepEqual(await json(app.request("/v1/models/penguins%2Fnano")), list.data[0]);
    assert.equal(list.data[0].max_model_len, 200);
    const missing = await app.request("/v1/models/penguins");
    assert.equal(missing.status, 404);
    assert.equal((await json(missing)).error.code, "model_not_found");
  });

  it("is the only one that can be asked for", async () => {
    const { post } = serveScripted();
    const bodies = {
      "/v1/chat/completions": { messages: [{ role: "user", content: "x" }] },
      "/v1/completions": { prompt: "x" },
      "/v1/responses": { input: "x" },
      "/v1/embeddings": { input: "x" },
      "/tokenize": { prompt: "x" },
      "/detokenize": { tokens: [1] },
    };
    for (const [path, body] of Object.entries(bodies)) {
      assert.equal((await post(path, { ...body, model: "gpt-4" })).status, 404, path);
      assert.equal((await post(path, { ...body, model: "penguins/nano", max_tokens: 1 })).status, 200, path);
    }
  });
});

describe("the tokenizer's routes", () => {
  const { app, post } = serveScripted();

  it("11: say what lm-eval asks for", async () => {
    const info = await json(app.request("/tokenizer_info"));
    assert.equal(info.eos_token, "<|eos|>");
    assert.equal(info.bos_token, "<|startoftext|>");
    assert.equal(info.pad_token, "<|pad|>");
    assert.match(info.chat_template, /<\|extra_0\|>/);
  });

  it("11: go round, special tokens by their names and nothing added", async () => {
    const text = "<|startoftext|>the rock é🐧<|eos|>";
    const { tokens, count } = await json(post("/tokenize", { prompt: text, add_special_tokens: false }));
    assert.equal(tokens.length, count);
    assert.equal(tokens[0], tokenizer.controlId("startOfText"));
    assert.equal((await json(post("/detokenize", { tokens }))).prompt, text);
    for (const [name, id] of tokenizer.specialTokens) {
      const found = await json(post("/tokenize", { prompt: name, add_special_tokens: false }));
      assert.deepEqual(found.tokens, [id]);
    }
    assert.deepEqual((await json(post("/tokenize", { content: "" }))).tokens, []);
    assert.equal((await json(post("/detokenize", { tokens: [] }))).content, "");
  });

  it("count as the routes that read prompts do", async () => {
    const messages = [{ role: "user", content: "the rock" }];
    const { count, token_strs } = await json(post("/tokenize", { messages, return_token_strs: true }));
    assert.equal(token_strs.length, count);
    const { usage } = await json(post("/v1/chat/completions", { messages, max_tokens: 1 }));
    assert.equal(usage.prompt_tokens, count);
    const raw = await json(post("/tokenize", { prompt: "the rock" }));
    assert.equal((await json(post("/v1/completions", { prompt: "the rock" }))).usage.prompt_tokens, raw.count);
  });

  it("refuse ids that no token has", async () => {
    assert.equal((await post("/detokenize", { tokens: [289, 290] })).status, 400);
  });
});

describe("routes", () => {
  it("take their own method only", async () => {
    const { app } = serveScripted();
    for (const path of ["/health", "/ready", "/metrics", "/v1/models", "/tokenizer_info"]) {
      const response = await app.request(path, { method: "POST" });
      assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD"], path);
      assert.equal((await app.request(path, { method: "HEAD" })).status, 200, path);
    }
    for (const method of ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const response = await app.request("/v1/chat/completions", { method });
      assert.deepEqual([response.status, response.headers.get("allow")], [405, "POST"], method);
      assert.equal(response.headers.get("access-control-allow-origin"), null);
    }
  });

  it("that are not there are said to be so, in OpenAI's shape", async () => {
    const { app } = serveScripted();
    for (const path of ["/", "/v1", "/v1/chat", "/v1/engines/x/completions", "/%00", "/..%2f..%2fetc/passwd"]) {
      const response = await app.request(path);
      assert.equal(response.status, 404, path);
      assert.equal((await json(response)).error.type, "invalid_request_error");
    }
  });

  it("repeat a harmless request id, and make one otherwise", async () => {
    const { app } = serveScripted();
    const id = async (given?: string) =>
      (await app.request("/health", given === undefined ? {} : { headers: { "X-Request-Id": given } })).headers.get(
        "x-request-id",
      );
    assert.equal(await id("abc-1_2"), "abc-1_2");
    for (const odd of [undefined, "a b", "x".repeat(65), "a<b>"])
      assert.match((await id(odd)) ?? "", /^[0-9a-f-]{36}$/);
  });

  it("mount in anyone's app, pages among them", async () => {
    const pages = new Hono().get("/", (context) => context.html("<p>hello</p>"));
    const { app } = serveScripted({ pages, apiKeys: ["key"] });
    const outer = new Hono();
    outer.route("/llm", app);
    const headers = { Authorization: "Bearer key" };
    assert.equal((await outer.request("/llm/health")).status, 200);
    assert.equal((await outer.request("/llm/v1/models", { headers })).status, 200);
    assert.equal((await outer.request("/llm/v1/models")).status, 401);
    assert.match(await (await outer.request("/llm", { headers })).text(), /hello/);
    assert.equal((await app.request("/")).status, 401);
  });
});
