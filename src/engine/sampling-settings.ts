/** How a request wants its tokens to be chosen. */
import { showValue } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";

export type SamplingSettings = {
  /** Divides the logits; 0 takes the likeliest token always, and top-k, top-p and min-p do not matter. */
  temperature: number;
  /** Only the `topK` likeliest tokens. */
  topK?: number | undefined;
  /** Only the likeliest tokens that together reach this probability (Holtzman et al., 2020). */
  topP?: number | undefined;
  /** Only tokens at least this share as likely as the likeliest (Nguyen et al., 2024). */
  minP?: number | undefined;
  /** Above 1: tokens of prompt and answer become less likely (Keskar et al., 2019). */
  repetitionPenalty?: number | undefined;
  /** Taken from the logit of every token that the answer has already. */
  presencePenalty?: number | undefined;
  /** Taken from the logit of a token once for each time that the answer has it. */
  frequencyPenalty?: number | undefined;
  /** Added to the logits of these ids before all else. */
  logitBias?: readonly (readonly [id: number, bias: number])[] | undefined;
};

const mostBiases = 1024;

export const samplingSettingNames = [
  ...["temperature", "topK", "topP", "minP", "repetitionPenalty"],
  ...["presencePenalty", "frequencyPenalty", "logitBias"],
] as const;

/**
 * @param vocabularySize the ids that `logitBias` may name.
 * @throws RookeryError INVALID_OPTION, naming the setting.
 */
export function checkSamplingSettings(settings: SamplingSettings, vocabularySize: number): void {
  const check = (
    name: Exclude<keyof SamplingSettings, "logitBias">,
    isGood: (value: number) => boolean,
    expected: string,
  ) => {
    const value = settings[name];
    // The kernel reads all but top-k as f32, in which 1e-50 is 0 and 1e50 infinite.
    if (value === undefined) return;
    const isNumber = typeof value === "number"; // callers in plain JavaScript can give anything
    if (isNumber && isGood(value) && (name === "topK" || isGood(Math.fround(value)))) return;
    throw invalid(`${name} is ${isNumber ? value : showValue(value)}`, `it must be ${expected}`);
  };
  check("temperature", (value) => value >= 0 && value <= 1000, "from 0 to 1000");
  check("topK", (value) => Number.isSafeInteger(value) && value >= 1, "a whole number of at least 1");
  check("topP", (value) => value > 0 && value <= 1, "above 0 and at most 1");
  check("minP", (value) => value >= 0 && value <= 1, "from 0 to 1");
  check("repetitionPenalty", (value) => value >= 0.01 && value <= 100, "from 0.01 to 100");
  check("presencePenalty", (value) => value >= -2 && value <= 2, "from -2 to 2");
  check("frequencyPenalty", (value) => value >= -2 && value <= 2, "from -2 to 2");
  checkLogitBias(settings.logitBias ?? [], vocabularySize);
}

function checkLogitBias(biases: NonNullable<SamplingSettings["logitBias"]>, vocabularySize: number): void {
  if (!Array.isArray(biases) || biases.some((one) => !Array.isArray(one))) {
    throw invalid(`logitBias is ${showValue(biases)}`, "give pairs of a token id and what is added");
  }
  if (biases.length > mostBiases) {
    throw invalid(`logitBias has ${biases.length} entries`, `give at most ${mostBiases}`);
  }
  const seen = new Set<number>();
  for (const [id, bias] of biases) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw invalid(`logitBias names token ${id}`, `the vocabulary has ids 0 to ${vocabularySize - 1}`);
    }
    if (seen.has(id)) throw invalid(`logitBias names token ${id} twice`, "name each token once");
    seen.add(id);
    if (typeof bias !== "number" || !(bias >= -100 && bias <= 100)) {
      throw invalid(`logitBias of token ${id} is ${bias}`, "it must be from -100 to 100");
    }
  }
}

function invalid(message: string, hint: string): RookeryError {
  return new RookeryError("INVALID_OPTION", message, hint);
}
