/** Requests that are right, almost right and not right at all, by number: the same seed and number give the same request. */
import { below, type StreamKeys, streamKeys } from "../src/base/random.ts";

type Body = Record<string, unknown>;

const message = { role: "user", content: "the rock" };

/** Bodies that are right, of each route that takes one. */
const rightBodies: readonly (readonly [path: string, body: Body])[] = [
  ["/v1/chat/completions", { messages: [message], max_tokens: 3, temperature: 0.7, seed: 1 }],
  [
    "/v1/chat/completions",
    { messages: [message], max_tokens: 4, stream: true, stream_options: { include_usage: true } },
  ],
  [
    "/v1/chat/completions",
    {
      messages: [
        { role: "system", content: "the sea" },
        message,
        { role: "assistant", content: [{ type: "text", text: "a" }] },
      ],
      max_completion_tokens: 3,
      n: 2,
      logprobs: true,
      top_logprobs: 3,
      stop: ["the", "penguin"],
      logit_bias: { "7": 5 },
      top_p: 0.9,
      top_k: 20,
      min_p: 0.05,
      presence_penalty: 0.5,
      frequency_penalty: -0.5,
      repetition_penalty: 1.2,
      rookery: { experts: true },
      tools: [{ type: "function", function: { name: "f" } }],
      tool_choice: "auto",
    },
  ],
  ["/v1/chat/completions", { messages: [message], max_tokens: 9, response_format: { type: "json_object" } }],
  [
    "/v1/chat/completions",
    {
      messages: [message],
      max_tokens: 9,
      response_format: {
        type: "json_schema",
        json_schema: { name: "a", schema: { type: "object", properties: { b: { type: "integer", minimum: 1 } } } },
      },
    },
  ],
  ["/v1/completions", { prompt: "the rock", max_tokens: 3, echo: true, logprobs: 2, stop: [] }],
  ["/v1/completions", { prompt: [[1, 2, 3], [4]], max_tokens: 1, echo: true, logprobs: 1, temperature: 0, seed: 1234 }],
  ["/v1/completions", { prompt: ["the", "rock"], max_tokens: 2, n: 2, stream: true, best_of: 2, suffix: null }],
  ["/v1/completions", { prompt: [5, 6, 7], max_tokens: 0, ignore_eos: true, stop_token_ids: [3], cache_salt: "x" }],
  [
    "/v1/responses",
    { input: "the rock", instructions: "the sea", max_output_tokens: 3, text: { format: { type: "text" } } },
  ],
  ["/v1/responses", { input: [{ type: "message", ...message }], max_output_tokens: 3, stream: true, top_logprobs: 1 }],
  ["/v1/embeddings", { input: ["the rock", "the sea"], encoding_format: "base64" }],
  ["/v1/embeddings", { input: [1, 2, 3] }],
  ["/tokenize", { prompt: "<|eos|>the", add_special_tokens: false }],
  ["/tokenize", { messages: [message], return_token_strs: true }],
  ["/detokenize", { tokens: [1, 2, 3] }],
];

const getPaths = ["/health", "/ready", "/metrics", "/v1/models", "/v1/models/tiny", "/tokenizer_info", "/", "/v1"];

/** Values that code forgets: of every type, at every edge. */
const oddValues: readonly unknown[] = [
  ...[null, true, false, 0, -0, -1, 1, 0.5, -1.5, 1e308, -1e308, 5e-324, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 63)],
  ...["", " ", "0", "null", "the", "\0", "\ud800", "a\ud800b", "\udfff", "🐧", "\u202e", "<|eos|>", "<|startoftext|>"],
  ...["__proto__", "constructor", "a".repeat(300), "x".repeat(5000), "\n\n\n", "%s%n", "../../etc/passwd"],
  ...[[], [[]], [null], {}, { a: {} }, [[[[[[]]]]]], [0], [-1], [1e9], ["a", 1], { type: "text" }, { length: 1e9 }],
  ...[{ role: "user" }, [{ role: "assistant" }], { toString: 1 }, { toJSON: "x" }, [{}], { "": "" }],
  { type: "json_schema", json_schema: {} },
  { type: "json_schema", json_schema: { schema: { $ref: "#" } } },
  { type: "json_schema", json_schema: { schema: { type: "string", pattern: "(a+)+$" } } },
  { type: "json_schema", json_schema: { schema: { enum: [] } } },
];

const methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const contentTypes = [
  "application/json",
  "application/json; charset=latin1",
  "text/plain",
  "",
  "application/jsonx",
  "*/*",
];

export type FuzzRequest = { path: string; init: RequestInit };

/** Request `number` of the stream `seed`. */
export function fuzzRequest(seed: number, number: number): FuzzRequest {
  const random = new Draws(streamKeys(seed, "fuzz", number));
  const kind = random.below(20);
  if (kind === 0) return { path: random.pick(getPaths) + queryOf(random), init: {} };
  if (kind === 1) return { path: oddPath(random), init: { method: random.pick(methods) } };
  const [path, right] = random.pick(rightBodies);
  if (kind === 2) return { path: path + queryOf(random), init: post(randomBytes(random), random) };
  let body: unknown = structuredClone(right);
  const changes = random.below(4);
  for (let change = 0; change < changes; change++) body = changed(body, random, 0);
  let text = JSON.stringify(body) ?? "";
  if (kind < 6) text = cut(text, random);
  const headers: Record<string, string> = {
    "Content-Type": kind === 6 ? random.pick(contentTypes) : "application/json",
  };
  const target = kind === 7 ? random.pick(rightBodies)[0] : path;
  return {
    path: target + (kind === 8 ? queryOf(random) : ""),
    init: { method: kind === 9 ? random.pick(["PUT", "DELETE", "PATCH"]) : "POST", headers, body: text },
  };
}

class Draws {
  readonly #keys: StreamKeys;
  #next = 0;

  constructor(keys: StreamKeys) {
    this.#keys = keys;
  }

  below(bound: number): number {
    return below(bound, this.#keys, this.#next++);
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!;
  }
}

function post(body: Uint8Array<ArrayBuffer>, random: Draws): RequestInit {
  const headers = { "Content-Type": random.below(4) === 0 ? random.pick(contentTypes) : "application/json" };
  return { method: "POST", headers, body };
}

/** One value somewhere inside replaced, removed, added or repeated. */
function changed(value: unknown, random: Draws, depth: number): unknown {
  const isInner = typeof value === "object" && value !== null && depth < 6;
  if (!isInner || random.below(4) === 0) return depth === 0 && isInner ? addKey(value, random) : random.pick(oddValues);
  if (Array.isArray(value)) {
    const copy: unknown[] = [...value];
    const at = random.below(copy.length + 1);
    if (random.below(4) === 0) return [...copy, ...new Array<unknown>(random.below(40)).fill(copy[at] ?? 1)];
    if (random.below(4) === 0) copy.splice(at, 1);
    else copy[at] = changed(copy[at], random, depth + 1);
    return copy;
  }
  const copy: Body = { ...value };
  const keys = Object.keys(copy);
  if (keys.length === 0) return addKey(copy, random);
  const key = random.pick(keys);
  if (random.below(5) === 0) delete copy[key];
  else copy[key] = changed(copy[key], random, depth + 1);
  return copy;
}

const knownKeys = [...new Set(rightBodies.flatMap(([, body]) => Object.keys(body)))];

function addKey(value: object, random: Draws): Body {
  const key =
    random.below(3) === 0 ? random.pick(["__proto__", "constructor", "", "foo", "model"]) : random.pick(knownKeys);
  return Object.fromEntries([...Object.entries(value), [key, random.pick(oddValues)]]);
}

/** The text cut, doubled, or with letters changed: mostly no JSON any more. */
function cut(text: string, random: Draws): string {
  const at = random.below(text.length + 1);
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.below(5));
    case 2:
      return (
        text.slice(0, at) +
        random.pick(['"', "[", "{", "}", "\\", ",", "0", "\0", "-", "1e999", "\\ud800"]) +
        text.slice(at)
      );
    case 3:
      return text + text;
    default:
      return `${"[".repeat(random.below(100_000))}${text}`;
  }
}

function randomBytes(random: Draws): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: random.below(300) }, () => random.below(256));
}

function queryOf(random: Draws): string {
  if (random.below(3) === 0) return "";
  const parts = Array.from({ length: random.below(6) }, () => {
    const [name, value] = [random.pick(knownKeys), JSON.stringify(random.pick(oddValues))].map(encode);
    return random.below(4) === 0 ? random.pick(["%", "%zz", "&&", "=", "a[]=1", "%00", "%ff"]) : `${name}=${value}`;
  });
  return `?${parts.join("&")}`;
}

function oddPath(random: Draws): string {
  const parts = Array.from({ length: 1 + random.below(5) }, () =>
    random.pick([
      "v1",
      "models",
      "chat",
      "completions",
      "..",
      ".",
      "%2e%2e",
      "%00",
      "%ff",
      "%",
      "",
      "a".repeat(200),
      "🐧",
    ]),
  );
  return `/${parts.join("/")}${queryOf(random)}`;
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).slice(0, 500);
}
