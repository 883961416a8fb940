import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { json, serveScripted } from "../../test/serving.ts";
import { BodyBudget, deeperThan } from "./body.ts";
import { ApiError } from "./errors.ts";

const prompt = { prompt: "the", max_tokens: 1 };

describe("bodies", () => {
  const { app, post } = serveScripted({ limits: { bodyBytes: 2000 } });
  const send = (body: string, headers: Record<string, string>) =>
    app.request("/v1/completions", { method: "POST", body, headers });

  it("must say that they are JSON", async () => {
    const text = JSON.stringify(prompt);
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/jsonp",
      "multipart/form-data",
    ]) {
      assert.equal((await send(text, { "Content-Type": type })).status, 415, type);
    }
    for (const type of [
      "application/json",
      "application/json; charset=utf-8",
      "Application/JSON",
      "application/vnd.x+json",
    ]) {
      assert.equal((await send(text, { "Content-Type": type })).status, 200, type);
    }
    const compressed = await send(text, { "Content-Type": "application/json", "Content-Encoding": "gzip" });
    assert.equal(compressed.status, 415);
    assert.match((await json(compressed)).error.message, /compressed/);
  });

  it("must be a JSON object in UTF-8", async () => {
    for (const body of ["", "{", "[]", "null", "3", '"x"', '{"prompt": "the",}', "{'prompt': 1}"]) {
      const response = await post("/v1/completions", body);
      assert.equal(response.status, 400, body);
      assert.equal((await json(response)).error.code, "invalid_json");
    }
    const body = Buffer.concat([Buffer.from('{"prompt": "'), Buffer.of(0xff), Buffer.from('"}')]);
    const response = await app.request("/v1/completions", {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
    });
    assert.equal(response.status, 400);
  });

  it("over the limit are refused, whether they announce their length or not", async () => {
    assert.equal((await post("/v1/completions", { ...prompt, user: "x".repeat(1900) })).status, 200);
    assert.equal((await post("/v1/completions", { ...prompt, user: "x".repeat(2000) })).status, 413);
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 500;
        controller.enqueue(new Uint8Array(500).fill(32));
      },
    });
    const response = await app.request("/v1/completions", {
      method: "POST",
      body: endless,
      duplex: "half",
      headers: { "Content-Type": "application/json" },
    } as RequestInit);
    assert.equal(response.status, 413);
    assert.ok(sent < 10_000, `${sent} bytes were read`);
  });

  it("that nest too deep are refused before anything is built of them", async () => {
    const nested = (depth: number) =>
      `{"prompt": "the", "max_tokens": 1, "x": ${"[".repeat(depth)}${"]".repeat(depth)}}`;
    assert.equal((await post("/v1/completions", nested(63))).status, 200);
    assert.equal((await post("/v1/completions", nested(64))).status, 400);
  });

  it("may have null for whatever a client does not set", async () => {
    const fields = ["stop", "seed", "n", "temperature", "stream", "logprobs", "stream_options", "logit_bias", "user"];
    const nulls = Object.fromEntries(fields.map((name) => [name, null]));
    assert.equal((await post("/v1/completions", { ...prompt, ...nulls })).status, 200);
  });

  it("with unknown fields are read, and no field can reach a prototype", async () => {
    const body =
      '{"prompt": "the", "max_tokens": 1, "__proto__": {"echo": true}, "constructor": 1, "no_such_field": [1]}';
    const answer = await json(post("/v1/completions", body));
    assert.equal(answer.choices[0].text, "the");
    assert.equal(({} as { echo?: boolean }).echo, undefined);
  });

  it("together stay within a budget", async () => {
    const budget = new BodyBudget(100);
    {
      using first = budget.open();
      using second = budget.open();
      first.grow(60);
      assert.throws(
        () => second.grow(41),
        (error) => error instanceof ApiError && error.status === 429,
      );
      second.grow(40);
    }
    using third = budget.open();
    third.grow(100);
  });
});

describe("deeperThan", () => {
  const depthOf = (value: unknown): number => {
    if (typeof value !== "object" || value === null) return 0;
    return 1 + Math.max(0, ...Object.values(value).map(depthOf));
  };

  it("counts what JSON.parse builds", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const depth = depthOf(value);
        assert.equal(deeperThan(bytes, depth), false);
        if (depth > 0) assert.equal(deeperThan(bytes, depth - 1), true);
      }),
      { seed: 1 },
    );
  });

  it("takes brackets in strings for text, also behind a backslash", () => {
    assert.equal(deeperThan(Buffer.from('["\\"[[[[", "\\\\", "]"]'), 1), false);
    assert.equal(deeperThan(Buffer.from('["\\\\", [1]]'), 1), true);
  });
});
