/** What an engine refuses before it takes a request in. */
import { showValue } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import { isPlainObject } from "../base/option-schema.ts";
import type { EngineRequest, Grammar } from "./request.ts";
import { checkSamplingSettings } from "./sampling-settings.ts";

const mostAnswers = 128;
const mostTopLogprobs = 64;
const mostStopTokens = 256;

/** @throws RookeryError INVALID_OPTION, naming the token. */
export function checkPrompt(prompt: ArrayLike<number>, vocabularySize: number, limit: number): void {
  if (!ArrayBuffer.isView(prompt) && !Array.isArray(prompt))
    throw mistyped("the prompt", prompt, "a list of token ids");
  if (prompt.length === 0) throw invalid("the prompt has no tokens", "give at least <|startoftext|>");
  if (prompt.length > limit) {
    throw invalid(`the prompt has ${prompt.length} tokens, the model reads at most ${limit}`, "give a shorter prompt");
  }
  for (let at = 0; at < prompt.length; at++) {
    const id = prompt[at]!;
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) continue;
    throw invalid(
      `token ${at} of the prompt is ${id}, the vocabulary has ids 0 to ${vocabularySize - 1}`,
      "encode the prompt with the model's own tokenizer",
    );
  }
}

/**
 * @param vocabularySize ids that the tokenizer and the model both have.
 * @param limit the longest text.
 * @throws RookeryError INVALID_OPTION, naming what is wrong. Stop strings are checked by whoever looks for them.
 */
export function checkRequest(request: EngineRequest, vocabularySize: number, limit: number): void {
  checkTypes(request);
  checkPrompt(request.prompt, vocabularySize, limit);
  checkSamplingSettings(request.sampling, vocabularySize);
  checkCount("count", request.count, 1, mostAnswers);
  checkCount("maxTokens", request.maxTokens, 0, Number.MAX_SAFE_INTEGER);
  if (request.promptLogprobsFrom !== undefined) {
    checkCount("promptLogprobsFrom", request.promptLogprobsFrom, 0, request.prompt.length);
  }
  checkCount("seed", request.seed, 0, Number.MAX_SAFE_INTEGER);
  if (request.topLogprobs !== undefined) checkCount("topLogprobs", request.topLogprobs, 0, mostTopLogprobs);
  checkCount("the number of stop tokens", request.stopTokenIds.length, 0, mostStopTokens);
}

/** Callers in plain JavaScript can give anything, and a fault of one must not end the engine of all. */
function checkTypes({ sampling, stopTokenIds, cacheSalt, grammar }: EngineRequest): void {
  if (!isPlainObject(sampling)) throw mistyped("sampling", sampling, "an object");
  if (!Array.isArray(stopTokenIds)) throw mistyped("stopTokenIds", stopTokenIds, "a list of token ids");
  if (cacheSalt !== undefined && typeof cacheSalt !== "string") throw mistyped("cacheSalt", cacheSalt, "a text");
  if (grammar !== undefined && !isGrammar(grammar)) throw mistyped("grammar", grammar, grammarForms);
}

const grammarForms = `{ type: "json" }, { type: "json-schema", schema } or { type: "ebnf", grammar }, both texts`;

function isGrammar(value: unknown): value is Grammar {
  if (!isPlainObject(value)) return false;
  const { type, schema, grammar } = value;
  if (type === "json-schema") return typeof schema === "string";
  return type === "json" || (type === "ebnf" && typeof grammar === "string");
}

function checkCount(name: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw mistyped(name, value, `a whole number from ${least} to ${most}`);
}

function mistyped(name: string, value: unknown, expected: string): RookeryError {
  return invalid(`${name} is ${typeof value === "number" ? value : showValue(value)}`, `it must be ${expected}`);
}

function invalid(message: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", message, hint);
}
