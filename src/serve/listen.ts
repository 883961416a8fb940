/** An app on a port: one that starts early, ends late, and keeps no connection for ever. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { RookeryError } from "../base/errors.ts";

export type ListenOptions = {
  /** By default 127.0.0.1, which this machine alone can reach. */
  host?: string;
  /** 0 takes any that is free. */
  port: number;
};

export type Listening = {
  /** Where it can be reached, the port that was taken included. */
  url: string;
  port: number;
  /**
   * Takes no more connections, waits until the running requests have ended, at most `drainMilliseconds` (by default 0), then calls
   * `abort`, which may end the others (`createApp` does when its `stopping` is raised), and cuts what is open a second later.
   */
  close(drainMilliseconds?: number, abort?: () => void): Promise<void>;
};

/** Connections at one moment; more are dropped before they cost anything. */
const mostConnections = 4096;
/** Between two looks at what has ended. */
const pollMilliseconds = 50;
/** Time for the last words of an aborted stream. */
const abortMilliseconds = 1000;

/**
 * Serves `fetch` over HTTP/1.1.
 *
 * @example
 * const server = await listen(createApp(engine).fetch, { port: 3000 });
 * await server.close();
 * @throws RookeryError INVALID_OPTION when the port cannot be had.
 */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { host = "127.0.0.1", port }: ListenOptions,
): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: (request) => fetch(request),
    overrideGlobalObjects: false,
    // Slow senders of headers and bodies are dropped; answers may take as long as they take.
    serverOptions: { headersTimeout: 30_000, requestTimeout: 120_000, keepAliveTimeout: 20_000 },
  }) as Server;
  server.maxConnections = mostConnections;
  const connections = new Connections(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(error as NodeJS.ErrnoException, host, port)));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const taken = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${taken}`,
    port: taken,
    close: (drainMilliseconds = 0, abort = () => {}) => close(server, connections, drainMilliseconds, abort),
  };
}

/** Open connections, and whether a request is being answered on them. */
class Connections {
  readonly #open = new Set<Socket>();
  readonly #busy = new Set<Socket>();

  constructor(server: Server) {
    server.on("connection", (socket) => {
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
    });
    server.on("request", ({ socket }, response) => {
      this.#busy.add(socket);
      response.once("close", () => this.#busy.delete(socket));
    });
  }

  /** Unlike the server's own method, this ends connections on which nothing has been asked yet, too. */
  closeIdle(): void {
    for (const socket of this.#open) if (!this.#busy.has(socket)) socket.destroy();
  }
}

async function close(
  server: Server,
  connections: Connections,
  drainMilliseconds: number,
  abort: () => void,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Connections are kept alive after an answer: each is ended when it is seen to be idle.
  connections.closeIdle();
  const poll = setInterval(() => connections.closeIdle(), pollMilliseconds);
  try {
    if (await within(closed, drainMilliseconds)) return;
    abort();
    if (await within(closed, abortMilliseconds)) return;
    server.closeAllConnections();
    await closed;
  } finally {
    clearInterval(poll);
  }
}

/** Whether `promise` comes true in time. */
async function within(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): unknown {
  const hints: Record<string, string> = {
    EADDRINUSE: "another program has that port; take another with --port",
    EACCES: "ports below 1024 need more rights; take another with --port",
    EADDRNOTAVAIL: "this machine has no such address; give --host one of its own",
    ENOTFOUND: "no such host is known; give --host an address of this machine",
  };
  const hint = hints[error.code ?? ""];
  if (hint === undefined) return error;
  return new RookeryError("INVALID_OPTION", `cannot listen on ${host} port ${port}`, hint, { cause: error });
}
