/** The text of an answer, as its tokens come. */
import { showValue } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { StreamDecoder } from "../text/stream-decoder.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

const mostStopStrings = 64;
const longestStopString = 1024;

/**
 * Gives out text that is certain: whole characters, and nothing that may be the beginning of a stop string. Of several stop
 * strings the one that is complete first ends the text, so it does not matter how the text was cut into tokens. Special
 * tokens are no text.
 */
export class AnswerText {
  readonly #decoder: StreamDecoder;
  readonly #stops: readonly StopString[];
  /** Text that has come and has not been given out. */
  #held = "";
  #isStopped = false;

  /** @throws RookeryError INVALID_OPTION for stop strings that cannot be used. */
  constructor(tokenizer: Tokenizer, stopStrings: readonly string[]) {
    checkStopStrings(stopStrings);
    this.#decoder = tokenizer.streamDecoder({ skipSpecialTokens: true });
    this.#stops = stopStrings.map((text) => new StopString(text));
  }

  /** The text that `token` makes certain, up to a stop string; after one nothing more comes. */
  push(token: number): { text: string; stopped: boolean } {
    return { text: this.#take(this.#decoder.push(token)), stopped: this.#isStopped };
  }

  /** What is still held back when an answer ends for another reason. */
  flush(): string {
    const text = this.#take(this.#decoder.flush());
    if (this.#isStopped) return text;
    const rest = this.#held;
    this.#held = "";
    return text + rest;
  }

  #take(text: string): string {
    if (this.#isStopped) return "";
    if (this.#stops.length === 0) return text;
    const before = this.#held.length;
    this.#held += text;
    for (let at = before; at < this.#held.length; at++) {
      const unit = this.#held.charCodeAt(at);
      let longest = 0;
      for (const stop of this.#stops) {
        if (stop.push(unit)) longest = Math.max(longest, stop.text.length);
      }
      if (longest === 0) continue;
      this.#isStopped = true;
      return this.#held.slice(0, at + 1 - longest);
    }
    const mayStop = Math.max(...this.#stops.map(({ matched }) => matched));
    const certain = this.#held.slice(0, this.#held.length - mayStop);
    this.#held = this.#held.slice(certain.length);
    return certain;
  }
}

/** Looks for one text, a UTF-16 unit at a time (Knuth, Morris and Pratt, 1977). */
class StopString {
  readonly text: string;
  /** So many units of the text so far are the beginning of `text`. */
  matched = 0;
  /** After n units have matched and the next does not: how many still do. */
  readonly #fallback: Int32Array;

  constructor(text: string) {
    this.text = text;
    this.#fallback = new Int32Array(text.length + 1);
    for (let at = 1; at < text.length; at++) {
      this.#fallback[at + 1] = this.#next(this.#fallback[at]!, text.charCodeAt(at));
    }
  }

  /** Whether the text ends here. */
  push(unit: number): boolean {
    this.matched = this.#next(this.matched, unit);
    return this.matched === this.text.length;
  }

  #next(matched: number, unit: number): number {
    let length = matched;
    while (length > 0 && this.text.charCodeAt(length) !== unit) length = this.#fallback[length]!;
    return this.text.charCodeAt(length) === unit ? length + 1 : 0;
  }
}

function checkStopStrings(texts: readonly string[]): void {
  if (!Array.isArray(texts) || texts.some((text) => typeof text !== "string")) {
    throw invalid(`the stop strings are ${showValue(texts)}`, "give a list of texts");
  }
  if (texts.length > mostStopStrings) {
    throw invalid(`${texts.length} stop strings`, `give at most ${mostStopStrings}`);
  }
  for (const text of texts) {
    if (text === "") throw invalid("a stop string is empty", "leave it out");
    if (text.length > longestStopString) {
      throw invalid(`a stop string has ${text.length} characters`, `give at most ${longestStopString}`);
    }
    if (!text.isWellFormed()) throw invalid("a stop string has half a character", "give whole characters");
  }
}

function invalid(message: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", message, hint);
}
