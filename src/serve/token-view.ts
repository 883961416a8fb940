/** Tokens and their log-probabilities as clients see them. */
import type { TokenLogprobs } from "../engine/request.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** `logprobs` of completions: parallel lists over tokens. */
export type CompletionLogprobs = {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  /** Where each token begins in `text`, in characters. */
  text_offset: number[];
};

export class TokenViewer {
  readonly #tokenizer: Tokenizer;
  /** Texts by id, as they are first asked for: a long prompt's log-probabilities name the same tokens over and over. */
  readonly #texts: (string | undefined)[];
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#texts = new Array<string | undefined>(tokenizer.vocabularySize).fill(undefined);
  }

  /** The text of one token. A part of a character has none of its own: its bytes are spelled out, as OpenAI does. */
  textOf(id: number): string {
    const known = this.#texts[id];
    if (known !== undefined) return known;
    const text = this.#decode(this.#tokenizer.tokenBytes(id));
    this.#texts[id] = text;
    return text;
  }

  /** An item of `logprobs.content` of chat and responses. */
  chatLogprob({ token, logprob, top }: TokenLogprobs): object {
    const one = (id: number, value: number) => ({
      token: this.textOf(id),
      logprob: finite(value),
      bytes: [...this.#tokenizer.tokenBytes(id)],
    });
    return { ...one(token, logprob), top_logprobs: top.map((other) => one(other.token, other.logprob)) };
  }

  /**
   * Lists for `tokens`. Where `logprobs` has null, as for the first token of a prompt, so have they.
   * @param offset characters of the text before them
   */
  completionLogprobs(
    tokens: ArrayLike<number>,
    logprobs: readonly (TokenLogprobs | null)[],
    offset: number,
  ): CompletionLogprobs {
    const lists: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    const decoder = this.#tokenizer.streamDecoder();
    let at = offset;
    for (let index = 0; index < tokens.length; index++) {
      const id = tokens[index]!;
      lists.tokens.push(this.textOf(id));
      lists.text_offset.push(at);
      at += countCharacters(decoder.push(id));
      const found = logprobs[index] ?? null;
      lists.token_logprobs.push(found === null ? null : finite(found.logprob));
      lists.top_logprobs.push(found === null ? null : this.#topTexts(found));
    }
    return lists;
  }

  /** Text → log-probability, the token itself among them. Of several tokens with one text the likeliest counts. */
  #topTexts({ token, logprob, top }: TokenLogprobs): Record<string, number> {
    const texts = new Map<string, number>();
    for (const other of [...top, { token, logprob }]) {
      const text = this.textOf(other.token);
      texts.set(text, Math.max(texts.get(text) ?? Number.NEGATIVE_INFINITY, finite(other.logprob)));
    }
    // Not by assignment: a token may be called __proto__.
    return Object.fromEntries(texts);
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#utf8.decode(bytes);
    } catch {
      return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
    }
  }
}

/** Characters as Unicode counts them, which is what most clients index text by. */
export function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** JSON has no −∞. */
function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : -9999;
}
