import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ApiError } from "./errors.ts";
import { type EventStreamOptions, eventStream, type Send } from "./event-stream.ts";

function open(produce: (send: Send) => Promise<void>, changes: Partial<EventStreamOptions> = {}) {
  const calls: string[] = [];
  const response = eventStream(produce, {
    onLeave: () => calls.push("leave"),
    onTooSlow: () => calls.push("too slow"),
    onEnd: (error) => calls.push(error === undefined ? "end" : `end: ${(error as Error).message}`),
    bufferBytes: 1000,
    pingMilliseconds: 60_000,
    describeError: (error) => ({ data: error }),
    ...changes,
  });
  return { calls, response };
}

describe("event streams", () => {
  it("send events in order, named or not", async () => {
    const { calls, response } = open(async (send) => {
      send({ a: 1 });
      await setImmediate();
      send({ text: "two\nlines" }, "named");
      send("[DONE]");
    });
    const text = await (await response).text();
    assert.equal(text, 'data: {"a":1}\n\nevent: named\ndata: {"text":"two\\nlines"}\n\ndata: [DONE]\n\n');
    assert.deepEqual(calls, ["end"]);
  });

  it("that fail before the first event throw, so that the answer can have a status", async () => {
    const { calls, response } = open(async () => {
      await setImmediate();
      throw new ApiError(429, "full");
    });
    await assert.rejects(response, /full/);
    assert.deepEqual(calls, ["end: full"]);
  });

  it("that fail later say so in an event and end there", async () => {
    const { response } = open(async (send) => {
      send({ a: 1 });
      throw new ApiError(503, "gone");
    });
    const error = { message: "gone", type: "server_error", param: null, code: null };
    assert.equal(await (await response).text(), `data: {"a":1}\n\ndata: ${JSON.stringify({ error })}\n\n`);
  });

  it("say nothing about faults of the server", async () => {
    const { response } = open(async (send) => {
      send({ a: 1 });
      throw new TypeError("secret");
    });
    assert.doesNotMatch(await (await response).text(), /secret/);
  });

  it("end the work when the reader leaves", async () => {
    const left = Promise.withResolvers<void>();
    const { calls, response } = open(
      async (send) => {
        send({ a: 1 });
        await left.promise;
        send({ a: 2 });
      },
      { onLeave: () => left.resolve() },
    );
    await (await response).body?.cancel();
    await setImmediate();
    assert.deepEqual(calls, ["end"]);
  });

  it("keep a bounded amount for a slow reader, then cut it off", async () => {
    let sent = 0;
    const { calls, response } = open(async (send) => {
      await setImmediate();
      for (; sent < 1000 && !calls.includes("too slow"); sent++) {
        send({ text: "x".repeat(100) });
        await setImmediate();
      }
    });
    const answer = await response;
    while (!calls.includes("end")) await setImmediate();
    assert.deepEqual(calls, ["too slow", "end"]);
    assert.ok(sent < 20, `${sent} events were kept`);
    await assert.rejects(answer.text(), /slow/);
  });

  it("show that they live while nothing happens, and that is enough to send the headers", async () => {
    const begin = Promise.withResolvers<void>();
    const { response } = open(
      async (send) => {
        await begin.promise;
        send({ a: 1 });
      },
      { pingMilliseconds: 1 },
    );
    const answer = await response;
    assert.equal(answer.headers.get("content-type"), "text/event-stream; charset=utf-8");
    begin.resolve();
    assert.match(await answer.text(), /^(: ping\n\n)+data: {"a":1}\n\n$/);
  });
});
