/** The tokenizer of a server, or of a directory that is said to be the server's: both turn texts into the ids that are sent. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { systemClock } from "../endpoint/clock.ts";
import { splitForEncoding } from "../text/blocks.ts";
import { joinIds } from "../text/ids.ts";
import { Tokenizer } from "../text/tokenizer.ts";

export type ClientTokenizer = {
  encode(texts: readonly string[]): Promise<Int32Array[]>;
  /** Bytes of text of each id. */
  byteLengths(tokens: Int32Array): Promise<Int32Array>;
  prefixToken: number;
  /** The longest text that the server says it reads. */
  maxLength: number | undefined;
};

type Fetch = (url: string, init: RequestInit) => Response | Promise<Response>;

const infoBody = z.object({
  bos_token: z.string().nullish(),
  eos_token: z.string().nullish(),
  max_model_len: z.int().positive().nullish(),
});
const tokensBody = z.object({ tokens: z.array(z.int().min(0)), max_model_len: z.int().positive().nullish() });
const textBody = z.object({ prompt: z.string() });

/**
 * What vLLM, and `rookery serve`, offer beside OpenAI's API: /tokenizer_info, /tokenize and /detokenize. Undefined for a server
 * without them.
 * @param url ends in /v1.
 */
export async function serverTokenizer(
  url: string,
  model: string,
  { fetch, apiKey }: { fetch: Fetch; apiKey: string | undefined },
  signal: AbortSignal | undefined,
): Promise<ClientTokenizer | undefined> {
  const root = url.replace(/\/v1$/, "");
  const ask = async <Body>(path: string, body: object | undefined, schema: z.ZodType<Body>) => {
    const send = async () => {
      const response = await fetch(`${root}${path}`, {
        method: body ? "POST" : "GET",
        headers: {
          "Content-Type": "application/json",
          ...(apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        ...(signal ? { signal } : {}),
      });
      const text = await response.text();
      if (passing.includes(response.status)) throw new Error(`${path} answered ${response.status}`);
      return { isOk: response.ok, text };
    };
    const { isOk, text } = await patiently(send, root, signal);
    return isOk ? { value: schema.safeParse(parsed(text)).data, text } : { text };
  };
  const info = (await ask("/tokenizer_info", undefined, infoBody)).value;
  const probe = (await ask("/tokenize", { model, prompt: "test", add_special_tokens: false }, tokensBody)).value;
  if (!probe) return undefined;
  const encode = async (prompt: string): Promise<Int32Array> => {
    if (prompt === "") return new Int32Array(0);
    const { value, text } = await ask("/tokenize", { model, prompt, add_special_tokens: false }, tokensBody);
    if (value) return Int32Array.from(value.tokens);
    // servers refuse to look at texts that are longer than they read, and of such a text only the end will be sent
    const pieces = prompt.length > pieceCharacters ? [...splitForEncoding(prompt, pieceCharacters)] : [];
    if (pieces.length > 1) return joinIds(await Promise.all(pieces.map(encodeOnce)));
    throw new RookeryError(
      "ENDPOINT_FAILED",
      `${root}/tokenize refuses a text of ${prompt.length} characters: ${text.slice(0, 300)}`,
      "give the model's own tokenizer with --tokenizer FOLDER",
    );
  };
  // texts come again and again: the shots before every question, the question before every choice
  const known = new Map<string, Promise<Int32Array>>();
  const encodeOnce = (text: string): Promise<Int32Array> => {
    const before = known.get(text);
    if (before) return before;
    if (known.size >= mostKnown) known.clear();
    const coming = encode(text);
    known.set(text, coming);
    coming.catch(() => known.delete(text));
    return coming;
  };
  const prefix = info?.bos_token ?? info?.eos_token;
  const prefixIds = prefix ? await encode(prefix) : new Int32Array(0);
  return {
    encode: async (texts) => await Promise.all(texts.map(encodeOnce)),
    async byteLengths(tokens) {
      const prefixes = await Promise.all(
        Array.from(tokens, async (_, at) => {
          const { value } = await ask("/detokenize", { model, tokens: [...tokens.subarray(0, at + 1)] }, textBody);
          return Buffer.byteLength((value?.prompt ?? "").replace(/\ufffd+$/, ""));
        }),
      );
      return Int32Array.from(prefixes, (bytes, at) => bytes - (prefixes[at - 1] ?? 0));
    },
    prefixToken: prefixIds[0] ?? 0,
    maxLength: info?.max_model_len ?? probe.max_model_len ?? undefined,
  };
}

/** Too many requests, and servers that come or go. */
const passing: readonly number[] = [429, 502, 503, 504];
const mostAttempts = 4;
const firstPauseMs = 250;

/** Sends again what does not get through. @throws RookeryError ENDPOINT_FAILED; the signal's reason. */
async function patiently<Answer>(
  send: () => Promise<Answer>,
  root: string,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      signal?.throwIfAborted();
      const { message, cause } = error as Error & { cause?: { code?: string } };
      if (attempt === mostAttempts) {
        const what = `${root} does not answer: ${cause?.code ?? message}`;
        const hint = "check that the server runs, and go on with --name NAME --resume";
        throw new RookeryError("ENDPOINT_FAILED", what, hint, { cause: error });
      }
      await systemClock.sleep(firstPauseMs * 2 ** attempt, signal);
    }
  }
}

const mostKnown = 4096;
const pieceCharacters = 512;

/** A tokenizer directory, whatever the server has. Throws as `Tokenizer.load`. */
export async function directoryTokenizer(directory: string): Promise<ClientTokenizer> {
  const tokenizer = await Tokenizer.load(directory);
  const { bos_token: bos } = tokenizer.config;
  const start = typeof bos === "string" ? tokenizer.specialTokens.get(bos) : undefined;
  return {
    encode: async (texts) => await tokenizer.encodeBatch(texts),
    byteLengths: async (tokens) => tokens.map((token) => tokenizer.textByteLengths[token] ?? 0),
    prefixToken: start ?? tokenizer.controlId("startOfText"),
    maxLength: undefined,
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
