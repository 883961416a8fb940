import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Endpoint } from "./endpoint.ts";
import { eventData } from "./event-stream.ts";

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  return await Array.fromAsync(items);
}

/** `text` in pieces that end at the given places. */
function body(text: string, cuts: readonly number[] = []): ReadableStream<Uint8Array> {
  const bytes = Buffer.from(text);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  let from = 0;
  return ReadableStream.from(
    places.map((to) => {
      const piece = bytes.subarray(from, to);
      from = to;
      return piece;
    }),
  );
}

function endpoint(answer: (url: string, init: RequestInit) => Response): Endpoint {
  return new Endpoint({ url: "http://host:1/", apiKey: "key", fetch: answer });
}

const sse = (...events: unknown[]) =>
  new Response(
    events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join(""),
  );
const question = { model: "m", messages: [{ role: "user", content: "hi" }] } as const;

describe("events", () => {
  it("come whole, however the bytes are cut", async () => {
    const text =
      'data: {"a": "é🐧"}\r\n\r\n: a comment\ndata: one\ndata:two\n\nevent: x\n\ndata: [DONE]\n\ndata: unended';
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(200), { maxLength: 12 }), async (cuts) => {
        assert.deepEqual(await all(eventData(body(text, cuts))), ['{"a": "é🐧"}', "one\ntwo", "[DONE]"]);
      }),
      { seed: 20241104, numRuns: 200 },
    );
  });

  it("without end are refused", async () => {
    const endless = ReadableStream.from(Array.from({ length: 20 }, () => Buffer.alloc(2 ** 20, "x")));
    await assert.rejects(all(eventData(endless)), { code: "ENDPOINT_FAILED", message: /16 MiB/ });
  });
});

describe("an endpoint", () => {
  it("is asked for its models and answers with the key, under /v1 whatever was given", async () => {
    const seen: string[] = [];
    const answer = (url: string, init: RequestInit) => {
      seen.push(`${init.method} ${url} ${new Headers(init.headers).get("authorization")}`);
      return Response.json({ data: [{ id: "a/b" }] });
    };
    assert.deepEqual(await endpoint(answer).models(), ["a/b"]);
    for (const url of ["http://host:1", "http://host:1/v1/", "http://host:1/v1"]) {
      await new Endpoint({ url, apiKey: "key", fetch: answer }).models();
    }
    assert.deepEqual(new Set(seen), new Set(["GET http://host:1/v1/models Bearer key"]));
  });

  it("streams a chat, and tells how it ended", async () => {
    const chunks = [
      { choices: [{ delta: { role: "assistant", content: "" } }] },
      { choices: [{ delta: { content: "he" } }] },
      { choices: [{ delta: { content: "llo" }, finish_reason: "stop" }] },
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } },
      "[DONE]",
    ];
    const pieces = await all(endpoint(() => sse(...chunks)).answer(question));
    assert.equal(pieces.map((piece) => (piece.type === "text" ? piece.text : "")).join(""), "hello");
    assert.deepEqual(pieces.at(-1), { type: "end", finishReason: "stop", promptTokens: 3, answerTokens: 2 });
  });

  it("streams what follows token ids", async () => {
    const answer = (url: string, init: RequestInit) => {
      assert.ok(url.endsWith("/v1/completions"));
      assert.deepEqual(JSON.parse(String(init.body)).prompt, [1, 2]);
      return sse({ choices: [{ text: "x", finish_reason: "length" }] }, "[DONE]");
    };
    const pieces = await all(endpoint(answer).answer({ model: "m", prompt: [1, 2] }));
    assert.deepEqual(pieces, [
      { type: "text", text: "x" },
      { type: "end", finishReason: "length" },
    ]);
  });

  it("that refuses, fails or breaks off is named in one line", async () => {
    const error = { error: { message: "no such model" } };
    const refusals: [(url: string) => Response, RegExp][] = [
      [() => Response.json(error, { status: 404 }), /answered 404: no such model/],
      [() => new Response("<html>", { status: 502, statusText: "Bad Gateway" }), /answered 502: Bad Gateway/],
      [() => sse(error), /the server failed: no such model/],
      [() => sse({ choices: "?" }), /no piece of an answer/],
      [() => sse("not json"), /no piece of an answer/],
      [() => sse({ choices: [{ delta: { content: "x" } }] }), /ended before the answer did/],
      [
        () => {
          throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
        },
        /does not answer: ECONNREFUSED/,
      ],
    ];
    for (const [answer, message] of refusals) {
      await assert.rejects(all(endpoint(answer).answer(question)), { code: "ENDPOINT_FAILED", message });
    }
    assert.throws(() => new Endpoint({ url: "file:///x" }), { code: "INVALID_OPTION" });
    assert.throws(() => new Endpoint({ url: "my-run" }), { code: "INVALID_OPTION" });
  });

  it("that redirects is not followed, so that no key goes where it was not given for", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(302, { location: "/elsewhere" }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await assert.rejects(new Endpoint({ url }).chat(question), {
        code: "ENDPOINT_FAILED",
        kind: "fatal",
        message: /redirects to "\/elsewhere"/,
      });
      assert.deepEqual(asked, ["POST /v1/chat/completions"]);
    } finally {
      server.close();
    }
  });

  it("that wants a key tells of the variable in which it was looked for", async () => {
    const options = { url: "http://host", fetch: () => new Response("", { status: 401 }) };
    await assert.rejects(new Endpoint(options).models(), { hint: "put the key into the variable ROOKERY_API_KEY" });
    await assert.rejects(new Endpoint({ ...options, apiKeyVariable: "LARGE_KEY" }).models(), {
      hint: "put the key into the variable LARGE_KEY",
    });
  });

  it("stops when the signal is raised, with its reason", async () => {
    const controller = new AbortController();
    const answer = (_url: string, init: RequestInit) => {
      const stream = new ReadableStream<Uint8Array>({
        start(inner) {
          inner.enqueue(Buffer.from(`data: ${JSON.stringify({ choices: [{ delta: { content: "x" } }] })}\n\n`));
          init.signal!.addEventListener("abort", () => inner.error(init.signal!.reason));
        },
      });
      return new Response(stream);
    };
    const pieces = endpoint(answer).answer(question, controller.signal);
    assert.deepEqual((await pieces.next()).value, { type: "text", text: "x" });
    controller.abort();
    await assert.rejects(pieces.next(), { name: "AbortError" });
  });
});
