/** An app over a scripted engine, and the few calls that its tests make again and again. */
import type { RookeryEvent } from "../src/base/events.ts";
import type { EngineInfo } from "../src/engine/request.ts";
import { type AppOptions, createApp } from "../src/serve/app.ts";
import { ScriptedEngine } from "./scripted-engine.ts";
import { tinyTokenizer } from "./tiny-model.ts";

export const tokenizer = tinyTokenizer();

type Json = Record<string, unknown>;

export function serveScripted(options: Partial<AppOptions> & { info?: Partial<EngineInfo>; script?: string } = {}) {
  const { info, script, ...appOptions } = options;
  const engine = new ScriptedEngine(tokenizer, {
    ...(info === undefined ? {} : { info }),
    ...(script === undefined ? {} : { script }),
  });
  const warnings: string[] = [];
  const model = {
    id: "penguins/nano",
    tokenizer,
    generation: { bosTokenId: null, eosTokenIds: [], padTokenId: null },
    createdSeconds: 1_700_000_000,
  };
  const onEvent = (event: RookeryEvent) => {
    if (event.type === "warning") warnings.push(event.message);
  };
  const app = createApp(engine, { model, onEvent, ...appOptions });
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
    app.request(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  return { app, engine, warnings, post };
}

/** The body as JSON; its fields are looked at by the tests. */
// biome-ignore lint/suspicious/noExplicitAny: answers are compared, not typed
export async function json(response: Response | Promise<Response>): Promise<any> {
  return (await response).json();
}

export type ServerSentEvent = { event: string | undefined; data: string };

/** The events of a stream, comments left out. */
export function readEvents(text: string): ServerSentEvent[] {
  return text
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => {
      const lines = block.split("\n");
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      return { event: field("event"), data: field("data") ?? "" };
    });
}

/** The chunks of a stream, and whether it said that it was whole. */
// biome-ignore lint/suspicious/noExplicitAny: answers are compared, not typed
export async function readChunks(response: Response | Promise<Response>): Promise<{ chunks: any[]; isDone: boolean }> {
  const events = readEvents(await (await response).text());
  const isDone = events.at(-1)?.data === "[DONE]";
  const chunks = (isDone ? events.slice(0, -1) : events).map(({ data }) => JSON.parse(data) as Json);
  return { chunks, isDone };
}
