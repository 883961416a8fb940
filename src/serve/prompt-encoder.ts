/** Texts and chats into token ids, without holding up the thread that answers everybody. */
import { setImmediate } from "node:timers/promises";
import { splitForEncoding } from "../text/blocks.ts";
import { type ChatMessage, encodeChat } from "../text/chat-template.ts";
import { joinIds } from "../text/ids.ts";
import { controlText } from "../text/pattern.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { badRequest } from "./errors.ts";
import type { RawPrompt } from "./wire/prompt.ts";

/** Characters that are encoded before others get their turn: a few milliseconds. */
const charactersPerTurn = 2 ** 16;

/** Normalization (NFC) makes a text shorter, by this factor at the very most. */
const mostComposed = 4;

export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  /** Most tokens of a prompt. */
  readonly #maxLength: number;
  readonly #longestTokenBytes: number;

  constructor(tokenizer: Tokenizer, maxLength: number) {
    this.#tokenizer = tokenizer;
    this.#maxLength = maxLength;
    let longest = 1;
    for (const bytes of tokenizer.textByteLengths) longest = Math.max(longest, bytes);
    for (const text of tokenizer.specialTokens.keys()) longest = Math.max(longest, Buffer.byteLength(text));
    this.#longestTokenBytes = longest;
  }

  /**
   * Ids of a raw prompt. Ids are taken as they are; in a text, what spells a special token becomes that token. Nothing is put in
   * front, but an empty text becomes the start of a document.
   * @throws ApiError 400
   */
  async raw(prompt: RawPrompt, param: string): Promise<Int32Array> {
    if (typeof prompt !== "string") return this.#checked(this.#knownIds(prompt, param), param);
    this.#checkText(prompt, param);
    const ids = await this.#tokenizer.encodeWithSpecials(prompt);
    return this.#checked(ids.length === 0 ? this.#start() : ids, param);
  }

  /** Ids of a text that is to be understood as a document: behind the start token, and nothing in it is special. */
  async document(prompt: RawPrompt, param: string): Promise<Int32Array> {
    if (typeof prompt !== "string") return this.raw(prompt, param);
    this.#checkText(prompt, param);
    return this.#checked(joinIds([this.#start(), await this.#encode(prompt)]), param);
  }

  /**
   * Ids of a chat up to where the assistant writes: after the last message, or, where that one is the assistant's, in it.
   * @throws ApiError 400; RookeryError UNSUPPORTED_MODEL for a tokenizer without the tokens of the template.
   */
  async chat(messages: readonly ChatMessage[], param: string): Promise<Int32Array> {
    let length = 0;
    for (const { content } of messages) length += content.length;
    this.#checkLength(length, param);
    const tokenizer = this.#tokenizer;
    const { ids } = await encodeChat(
      {
        encodeBatch: (texts) => this.#encodeAll(texts),
        controlId: (name) => tokenizer.controlId(name),
      },
      messages,
    );
    const isContinued = messages.at(-1)?.role === "assistant";
    // Of a whole turn the last token ends it.
    return this.#checked(isContinued ? ids.subarray(0, ids.length - 1).slice() : ids, param);
  }

  /** @throws ApiError 400 for an id that no token has. */
  #knownIds(ids: Int32Array, param: string): Int32Array {
    const { vocabularySize } = this.#tokenizer;
    const unknown = ids.find((id) => id >= vocabularySize);
    if (unknown === undefined) return ids;
    throw badRequest(`${param}: there is no token ${unknown}; ids go from 0 to ${vocabularySize - 1}`, param);
  }

  #start(): Int32Array {
    const { specialTokens } = this.#tokenizer;
    const id = specialTokens.get(controlText.startOfText) ?? specialTokens.get(controlText.endOfText);
    return id === undefined ? new Int32Array(0) : Int32Array.of(id);
  }

  #checkText(text: string, param: string): void {
    this.#checkLength(text.length, param);
  }

  /** Refuses at once what no tokenizer could make short enough. */
  #checkLength(characters: number, param: string): void {
    if (characters <= this.#maxLength * this.#longestTokenBytes * mostComposed) return;
    throw tooLong(`the ${characters} characters`, this.#maxLength, param);
  }

  #checked(ids: Int32Array, param: string): Int32Array {
    if (ids.length === 0) throw badRequest(`${param}: has no tokens`, param);
    if (ids.length > this.#maxLength) throw tooLong(`the ${ids.length} tokens`, this.#maxLength, param);
    return ids;
  }

  async #encodeAll(texts: readonly string[]): Promise<Int32Array[]> {
    const all: Int32Array[] = [];
    for (const text of texts) all.push(await this.#encode(text));
    return all;
  }

  async #encode(text: string): Promise<Int32Array> {
    const parts: Int32Array[] = [];
    for (const block of splitForEncoding(text.toWellFormed(), charactersPerTurn)) {
      parts.push(await this.#tokenizer.encodeText(block));
      if (block.length < text.length) await setImmediate();
    }
    return joinIds(parts);
  }
}

export function tooLong(what: string, maxLength: number, param: string): Error {
  return badRequest(
    `${param}: ${what} do not fit; this server reads and writes at most ${maxLength} tokens`,
    param,
    "context_length_exceeded",
  );
}
