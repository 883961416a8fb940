import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, it } from "node:test";
import { type Listening, listen } from "./listen.ts";

const local = { host: "127.0.0.1", port: 0 };

async function connect({ port }: Listening): Promise<net.Socket> {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

describe("listening", () => {
  it("says where, and gives the port back", async () => {
    const first = await listen(() => new Response("hello"), local);
    assert.equal(first.url, `http://127.0.0.1:${first.port}`);
    assert.equal(await (await fetch(first.url)).text(), "hello");
    await first.close(60_000, assert.fail);
    const second = await listen(() => new Response("again"), { host: "127.0.0.1", port: first.port });
    assert.equal(await (await fetch(second.url)).text(), "again");
    await second.close(60_000, assert.fail);
  });

  it("names what keeps it from the port", async () => {
    const first = await listen(() => new Response(), local);
    await assert.rejects(
      listen(() => new Response(), { host: "127.0.0.1", port: first.port }),
      {
        code: "INVALID_OPTION",
        hint: /another program/,
      },
    );
    await assert.rejects(
      listen(() => new Response(), { host: "192.0.2.1", port: 0 }),
      { code: "INVALID_OPTION" },
    );
    await first.close(0, () => {});
  });

  it("ends connections on which nothing happens, asked on before or not, and waits for the others", async () => {
    const answer = Promise.withResolvers<Response>();
    const asked = Promise.withResolvers<void>();
    const listening = await listen(({ url }) => {
      if (!url.endsWith("/slow")) return new Response("quick");
      asked.resolve();
      return answer.promise;
    }, local);
    await connect(listening);
    await (await fetch(listening.url)).text();
    const slow = fetch(`${listening.url}/slow`);
    await asked.promise;
    const closed = listening.close(60_000, assert.fail);
    await assert.rejects(fetch(listening.url));
    answer.resolve(new Response("done"));
    assert.equal(await (await slow).text(), "done");
    await closed;
  });

  it("aborts what does not end in time", async () => {
    let aborts = 0;
    const asked = Promise.withResolvers<AbortSignal>();
    const listening = await listen((request) => {
      asked.resolve(request.signal);
      return new Promise(() => {});
    }, local);
    const slow = fetch(listening.url);
    const signal = await asked.promise;
    await Promise.all([listening.close(1, () => aborts++), assert.rejects(slow)]);
    assert.equal(aborts, 1);
    if (!signal.aborted) await once(signal, "abort");
  });

  it("stops reading from an app whose client does not read", async () => {
    let sent = 0;
    const cancelled = Promise.withResolvers<void>();
    const endless = ({ url }: Request) => {
      if (url.endsWith("/turn")) return new Response("done");
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
        sent += 2 ** 16;
        controller.enqueue(new Uint8Array(2 ** 16));
      };
      return new Response(new ReadableStream({ pull, cancel: () => cancelled.resolve() }));
    };
    const listening = await listen(endless, local);
    const socket = await connect(listening);
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let before = -1;
    while (sent === 0 || sent !== before) {
      before = sent;
      // A turn of the server in the same loop.
      await (await fetch(`${listening.url}/turn`)).text();
    }
    assert.ok(sent < 64 * 2 ** 20, `${sent} bytes were taken`);
    socket.destroy();
    await cancelled.promise;
    await listening.close(0, () => {});
  });

  it("tells a handler when its client leaves", async () => {
    const asked = Promise.withResolvers<AbortSignal>();
    const listening = await listen((request) => {
      asked.resolve(request.signal);
      return new Promise(() => {});
    }, local);
    const socket = await connect(listening);
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const signal = await asked.promise;
    const left = once(signal, "abort");
    socket.destroy();
    await left;
    await listening.close(60_000, assert.fail);
  });
});
