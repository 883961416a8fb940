/** Clients as their makers ship them, unchanged, against `rookery serve` on a socket. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";
import OpenAI from "openai";
import { type LiveServer, startLiveServer } from "../live-server.ts";
import { json, readEvents } from "../serving.ts";

const model = "tiny";
const messages = [{ role: "user" as const, content: "who is on the rock?" }];
const settings = { model, messages, max_tokens: 8, temperature: 0, seed: 3 };

let server: LiveServer;
let openai: OpenAI;
before(async () => {
  server = await startLiveServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
after(async () => {
  await server.close();
  assert.deepEqual(server.warnings, []);
});

describe("openai", () => {
  it("lists and finds models", async () => {
    const { data } = await openai.models.list();
    assert.deepEqual(
      data.map(({ id }) => id),
      [model],
    );
    assert.equal((await openai.models.retrieve(model)).id, model);
    await assert.rejects(openai.models.retrieve("gpt-4"), OpenAI.NotFoundError);
  });

  it("chats, whole and streamed, with the same text and usage", async () => {
    const whole = await openai.chat.completions.create(settings);
    const stream = await openai.chat.completions.create({
      ...settings,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage;
    }
    assert.ok(text.length > 0);
    assert.equal(text, whole.choices[0]?.message.content);
    assert.equal(usage?.completion_tokens, whole.usage?.completion_tokens);
  });

  it("streams with its helper, which checks the chunks", async () => {
    const runner = openai.chat.completions.stream({ ...settings, n: 2 });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices.length, 2);
    assert.ok(final.choices.every(({ finish_reason }) => finish_reason === "length" || finish_reason === "stop"));
  });

  it("reads log-probabilities, whose sum over the likeliest is at most 1", async () => {
    const { choices } = await openai.chat.completions.create({ ...settings, logprobs: true, top_logprobs: 5 });
    const content = choices[0]?.logprobs?.content ?? [];
    assert.equal(content.length, 8);
    for (const { token, logprob, top_logprobs } of content) {
      assert.equal(top_logprobs.length, 5);
      assert.deepEqual([top_logprobs[0]?.token, top_logprobs[0]?.logprob], [token, logprob]);
      const sum = top_logprobs.reduce((total, one) => total + Math.exp(one.logprob), 0);
      assert.ok(sum > 0 && sum <= 1.0001);
    }
  });

  it("uses responses, whole and streamed", async () => {
    const request = { model, input: "who is on the rock?", max_output_tokens: 6, temperature: 0 };
    const whole = await openai.responses.create(request);
    assert.ok(whole.output_text.length > 0);
    assert.equal(whole.usage?.output_tokens, 6);
    const stream = await openai.responses.create({ ...request, stream: true });
    let text = "";
    let last = "";
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event.type;
    }
    assert.equal(text, whole.output_text);
    assert.equal(last, "response.incomplete");
    const final = await openai.responses.stream(request).finalResponse();
    assert.equal(final.output_text, whole.output_text);
  });

  it("gets embeddings, as base64 unless told otherwise", async () => {
    const input = ["the penguins", "the cold sea"];
    const { data } = await openai.embeddings.create({ model, input });
    const floats = await openai.embeddings.create({ model, input, encoding_format: "float" });
    assert.deepEqual(data, floats.data);
    assert.ok(Math.abs(Math.hypot(...(data[0]?.embedding ?? [])) - 1) < 1e-5);
    assert.notDeepEqual(data[0]?.embedding, data[1]?.embedding);
  });

  it("completes raw prompts", async () => {
    const { choices } = await openai.completions.create({
      model,
      prompt: "the cold",
      max_tokens: 4,
      echo: true,
      logprobs: 1,
    });
    assert.ok(choices[0]?.text.startsWith("the cold"));
    assert.equal(choices[0]?.logprobs?.token_logprobs?.[0], null);
  });

  it("stops a stream, which frees its pages", async () => {
    const stream = await openai.chat.completions.create({ ...settings, max_tokens: 600, stream: true });
    for await (const _ of stream) break;
    while ((await server.metric("rookery_num_requests_running")) > 0);
    assert.equal(await server.metric("rookery_kv_cache_pages", "in_use"), 0);
    assert.ok((await server.metric("rookery_engine_requests_cancelled_total")) >= 1);
    assert.equal(await server.metric("rookery_http_requests_in_flight"), 0);
  });

  it("maps errors to its classes", async () => {
    const tooLong = [{ role: "user" as const, content: "cold ".repeat(1000) }];
    await assert.rejects(openai.chat.completions.create({ ...settings, messages: tooLong }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.deepEqual([error.code, error.param], ["context_length_exceeded", "messages"]);
      assert.ok(error.requestID);
      return true;
    });
  });
});

describe("Vercel ai", () => {
  const provider = () => createOpenAICompatible({ name: "rookery", baseURL: `${server.url}/v1` });
  const ask = () => ({
    model: provider().chatModel(model),
    prompt: "who is on the rock?",
    maxOutputTokens: 8,
    temperature: 0,
    maxRetries: 0,
  });

  it("writes and streams the same text", async () => {
    const { text, usage, finishReason } = await generateText(ask());
    const stream = streamText(ask());
    let streamed = "";
    for await (const piece of stream.textStream) streamed += piece;
    assert.ok(text.length > 0);
    assert.equal(streamed, text);
    assert.equal(usage.outputTokens, 8);
    assert.equal(finishReason, "length");
    assert.equal(await stream.finishReason, "length");
  });

  it("embeds", async () => {
    const { embeddings } = await embedMany({
      model: provider().textEmbeddingModel(model),
      values: ["the rock", "the sea"],
    });
    assert.equal(embeddings.length, 2);
  });
});

describe("plain HTTP", () => {
  it("answers curl, whole and streamed", async () => {
    const curl = (body: object) =>
      promisify(execFile)("curl", [
        ...["-sS", "-N", `${server.url}/v1/chat/completions`, "-H", "Content-Type: application/json"],
        ...["-d", JSON.stringify(body)],
      ]);
    const { stdout } = await curl(settings);
    const text = JSON.parse(stdout).choices[0].message.content;
    const streamed = await curl({ ...settings, stream: true });
    const events = readEvents(streamed.stdout);
    assert.equal(events.at(-1)?.data, "[DONE]");
    const pieces = events.slice(0, -1).map(({ data }) => JSON.parse(data).choices[0].delta.content ?? "");
    assert.equal(pieces.join(""), text);
  });

  it("tells curl what it left out", async () => {
    const { stdout } = await promisify(execFile)("curl", ["-sS", `${server.url}/v1/completions`, "-d", "{}"]);
    assert.match(JSON.parse(stdout).error.message, /application\/json/);
  });

  it("13: echoed log-probabilities equal those of another forward pass, and chunks of any cut", async () => {
    const post = (body: object) =>
      json(
        fetch(`${server.url}/v1/completions`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        }),
      );
    const prompt = Array.from({ length: 150 }, (_, at) => (at * 7919) % 256);
    const echo = { prompt: [prompt], max_tokens: 1, logprobs: 1, echo: true, temperature: 0 };
    const whole = (await post(echo)).choices[0].logprobs.token_logprobs;
    // The same token read after a prompt without it: its log-probability as a generated token's.
    for (const length of [1, 63, 64, 149]) {
      const bias = { [prompt[length]!]: 100 };
      const part = { prompt: prompt.slice(0, length), max_tokens: 1, logprobs: 1, temperature: 0, logit_bias: bias };
      const one = (await post(part)).choices[0].logprobs.token_logprobs[0];
      assert.equal(one, whole[length], `token ${length}`);
    }
    const again = (await post({ ...echo, prompt: [prompt.slice(0, 80), prompt] })).choices[1];
    assert.deepEqual(again.logprobs.token_logprobs, whole);
  });

  it("14: a trailing message of the assistant is continued", async () => {
    const post = (more: object) =>
      json(
        fetch(`${server.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ ...settings, ...more }),
        }),
      );
    const open = [...messages, { role: "assistant", content: "the chicks" }];
    const { usage } = await post({ messages: open });
    const tokens = await json(
      fetch(`${server.url}/tokenize`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ prompt: "the chicks" }),
      }),
    );
    assert.equal(usage.prompt_tokens, (await post({})).usage.prompt_tokens + tokens.count);
  });

  it("serves the page, and shows which experts handled each token", async () => {
    const page = await fetch(server.url);
    assert.match(page.headers.get("content-type") ?? "", /text\/html/);
    const answer = await json(
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...settings, rookery: { experts: true }, cache_salt: "mine" }),
      }),
    );
    // The last token of the answer is never read.
    assert.equal(answer.rookery.experts.length, answer.usage.total_tokens - 1);
    assert.equal(answer.rookery.experts[0].experts.length, 5);
  });
});
