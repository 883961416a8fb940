/** The pages before a server that speaks the same wire as `rookery serve`, and says what a test wants to see. */
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import { createPages } from "../../src/serve/pages.ts";

export type ChatRequest = {
  messages: { role: string; content: string }[];
  temperature?: number;
  seed?: number;
  rookery?: { experts?: boolean };
};

export type FakeServer = {
  address: string;
  /** Bodies of `/v1/chat/completions`, in order. */
  requests: ChatRequest[];
  /** Every address that was asked for. */
  paths: string[];
  /** Answers whose client went away before their end. */
  abandoned: number;
  /** When set, asked for on every route of the API. */
  key: string | undefined;
  close(): Promise<void>;
};

const layers = 4;
const experts = 8;

export const hostileAnswer = [
  "<script>window.hacked = 1; fetch('/beacon-script')</script>",
  '<img src=/beacon-image onerror="window.hacked = 2">',
  "![secret](/beacon-markdown?data=secret) ![x](https://beacon.invalid/x.png)",
  "[click me](javascript:window.hacked=3) [data](data:text/html,<script>alert(1)</script>)",
  '<a href="javascript:window.hacked=4">raw link</a> <iframe src="/beacon-frame"></iframe>',
  "<style>@import '/beacon-style';</style><svg onload=\"window.hacked = 5\"></svg>",
  '[title](https://example.invalid "x\\" onmouseover=\\"window.hacked=6")',
  "```html\n<img src=/beacon-code onerror=window.hacked=7>\n```",
  "safe text at the end",
].join("\n\n");

const ordinaryAnswer =
  "Penguins **breed in colonies**, which are called rookeries.\n\n" +
  "1. They come back every year.\n2. They know each other by voice.\n\n" +
  '```ts\nconst colony: string = "rookery";\n```\n\nThat is all.';

const longAnswer = Array.from({ length: 60 }, (_, index) => `Paragraph ${index + 1} of a long answer.`).join("\n\n");

export const answers: Record<string, string> = {
  hostile: hostileAnswer,
  long: longAnswer,
  chinese: "企鹅在**群栖地**繁殖。\n\n- 它们每年都会回来\n- 它们通过声音相互辨认\n\n`代码` 也可以显示。",
  arabic: "تتكاثر البطاريق في **مستعمرات** كبيرة.\n\n1. تعود كل عام\n2. تتعرف على بعضها بالصوت\n\nMixed: مرحبا world.",
  table:
    "## Figures\n\n| Species | Height | Where |\n| --- | --- | --- |\n| Emperor | 1.2 m | Antarctica |\n| Little | 0.3 m | Australia and New Zealand |\n\n> A quotation, which runs over more than one line when the page is as narrow as a phone is.\n\n```python\ndef a_very_long_function_name(parameter_one, parameter_two, parameter_three):  # a comment that goes on\n    return parameter_one + parameter_two + parameter_three\n```\n\nAnd `inline code`, ~~struck~~, *emphasis*, a [link](https://example.invalid/path).",
};

/** Pieces like tokens: words with the blank before them. */
function piecesOf(text: string): string[] {
  return text.match(/\s?[^\s]+|\s+/g) ?? [];
}

function expertsOf(text: string, position: number) {
  const pick = (layer: number) => (position * 7 + layer * 3 + text.length) % experts;
  return {
    position,
    token: 100 + position,
    text,
    experts: Array.from({ length: layers }, (_, layer) => [pick(layer)]),
    probabilities: Array.from({ length: layers }, (_, layer) => [0.25 + ((position + layer) % 7) / 10]),
  };
}

export async function startFakeServer(): Promise<FakeServer> {
  const app = new Hono();
  const fake: FakeServer = {
    address: "",
    requests: [],
    paths: [],
    abandoned: 0,
    key: undefined,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
  const seenPrefixes = new Set<string>();

  app.use(async (context, next) => {
    fake.paths.push(context.req.path);
    await next();
  });
  app.route("/", createPages());
  app.use("/v1/*", async (context, next) => {
    if (fake.key !== undefined && context.req.header("Authorization") !== `Bearer ${fake.key}`) {
      return context.json(
        { error: { message: "no key", type: "invalid_request_error", code: "invalid_api_key" } },
        401,
      );
    }
    return next();
  });
  app.get("/v1/models", (context) =>
    context.json({
      object: "list",
      data: [
        { id: "nano-1", object: "model", max_model_len: 32_768, rookery: { engine: { numExperts: experts + 1 } } },
      ],
    }),
  );
  app.post("/tokenize", async (context) => {
    const { prompt } = (await context.req.json()) as { prompt: string };
    return context.json({ count: piecesOf(prompt).length, max_model_len: 32_768 });
  });
  app.post("/v1/chat/completions", async (context) => {
    const request = (await context.req.json()) as ChatRequest;
    fake.requests.push(request);
    const question = request.messages.at(-1)?.content ?? "";
    if (question === "busy") {
      return context.json({ error: { message: "queue full", type: "overloaded" } }, 429, { "Retry-After": "7" });
    }
    if (question === "too long") {
      const message = "This model reads 32768 tokens, and the messages have 50000.";
      return context.json({ error: { message, type: "invalid_request_error" } }, 400);
    }
    return streamSSE(context, async (stream) => {
      stream.onAbort(() => {
        fake.abandoned++;
      });
      await answer(stream, request, question, seenPrefixes);
    });
  });

  const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.on("listening", resolve));
  fake.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return fake;
}

async function answer(
  stream: SSEStreamingApi,
  request: ChatRequest,
  question: string,
  seenPrefixes: Set<string>,
): Promise<void> {
  const send = (chunk: object) =>
    stream.writeSSE({ data: JSON.stringify({ object: "chat.completion.chunk", ...chunk }) });
  const system = request.messages.find(({ role }) => role === "system")?.content ?? "";
  const cached = seenPrefixes.has(system) ? piecesOf(system).length : 0;
  if (system !== "") seenPrefixes.add(system);
  const prompt = request.messages.flatMap(({ content }) => piecesOf(content));
  const isContinued = request.messages.at(-1)?.role === "assistant";
  const pieces = piecesOf(isContinued ? " And this follows." : (answers[question] ?? ordinaryAnswer));
  let position = prompt.length;
  if (request.rookery?.experts) {
    await send({ choices: [], rookery: { experts: prompt.map((text, index) => expertsOf(text, index)) } });
  }
  do {
    for (const text of pieces) {
      if (stream.aborted) return;
      await send({
        choices: [{ index: 0, delta: { content: text }, finish_reason: null }],
        ...(request.rookery?.experts ? { rookery: { experts: [expertsOf(text, position)] } } : {}),
      });
      position++;
      if (question === "break" && position > prompt.length + 3) return;
      await sleep(question === "endless" || question === "slow" ? 20 : 1);
    }
  } while (question === "endless");
  const reason = question === "cut" ? "length" : "stop";
  await send({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  await send({
    choices: [],
    usage: {
      prompt_tokens: prompt.length,
      completion_tokens: position - prompt.length,
      total_tokens: position,
      prompt_tokens_details: { cached_tokens: cached },
    },
  });
  await stream.writeSSE({ data: "[DONE]" });
}
