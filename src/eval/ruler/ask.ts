/** How a long prompt is put to a model: as a text that it writes on, or as a chat whose answer has begun. */
import type { ChatMessage } from "../../endpoint/endpoint.ts";
import type { EvalModel, GenerationRequest } from "../model.ts";
import type { FittedPrompt, TokenCounter } from "./fit.ts";
import type { LongPrompt } from "./item.ts";

/** text: for pretrained models, behind the token with which documents begin; chat: in the model's template. */
export const promptModes = ["text", "chat"] as const;
export type PromptMode = (typeof promptModes)[number];

type Asked = Pick<LongPrompt, "input" | "answerPrefix">;

function requestOf({ input, answerPrefix }: Asked, mode: PromptMode, maxTokens: number): GenerationRequest {
  const settings = { maxTokens, stop: [], temperature: 0, seed: 0 };
  if (mode === "text") return { ...settings, prompt: input + answerPrefix, asDocument: true };
  const prompt: ChatMessage[] = [
    { role: "user", content: input },
    { role: "assistant", content: answerPrefix.trimStart() },
  ];
  return { ...settings, prompt };
}

/** Counts as the model will: what its template adds is found by asking it once. */
export async function promptCounter(model: EvalModel, mode: PromptMode, signal?: AbortSignal): Promise<TokenCounter> {
  const lengths = async (texts: readonly string[]) =>
    (await model.encode(texts)).reduce((sum, { length }) => sum + length, 0);
  const partsOf = ({ input, answerPrefix }: Asked) =>
    mode === "text" ? [input + answerPrefix] : [input, answerPrefix.trimStart()];
  const probe = { input: "a", answerPrefix: "b" };
  const { promptTokens } = await model.generate(requestOf(probe, mode, 1), signal);
  const around = promptTokens - (await lengths(partsOf(probe)));
  return {
    text: (text) => lengths([text]),
    prompt: async (prompt) => around + (await lengths(partsOf(prompt))),
  };
}

export type LongAnswer = {
  text: string;
  promptTokens: number;
  /** Of the prompt's tokens, those that a cached prefix saved; null where nobody tells, or several prompts were read at once. */
  cachedTokens: number | null;
  seconds: number;
};

/** The likeliest answer. Throws as `EvalModel.generate`. */
export async function answerPrompt(
  model: EvalModel,
  prompt: FittedPrompt,
  { mode, isAlone }: { mode: PromptMode; isAlone: boolean },
  signal?: AbortSignal,
): Promise<LongAnswer> {
  const startMs = performance.now();
  const before = isAlone ? await model.prefixStats() : null;
  const { text, promptTokens } = await model.generate(requestOf(prompt, mode, prompt.answerTokens), signal);
  const after = isAlone ? await model.prefixStats() : null;
  const cachedTokens = before && after ? after.cachedTokens - before.cachedTokens : null;
  return { text, promptTokens, cachedTokens, seconds: (performance.now() - startMs) / 1000 };
}
