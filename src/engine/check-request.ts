/** What an engine refuses before it takes a request in. */
import { RookeryError } from "../base/errors.ts";
import type { EngineRequest } from "./request.ts";
import { checkSamplingSettings } from "./sampling-settings.ts";

const mostAnswers = 128;
const mostTopLogprobs = 64;
const mostStopTokens = 256;

/** @throws RookeryError INVALID_OPTION, naming the token. */
export function checkPrompt(prompt: ArrayLike<number>, vocabularySize: number, limit: number): void {
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

function checkCount(name: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw invalid(`${name} is ${value}`, `it must be a whole number from ${least} to ${most}`);
}

function invalid(message: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", message, hint);
}
