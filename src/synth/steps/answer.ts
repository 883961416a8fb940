/** Answers to an instruction: several where one answer is right, by all who are named for its domain in turn. */
import { endsTheWork } from "../../endpoint/client.ts";
import { EndpointFailure } from "../../endpoint/failure.ts";
import { Draws } from "../../tasks/random.ts";
import { answerMessages, answerPromptVersion, bareAnswerPromptVersion } from "../prompts/answer.ts";
import { noCost, type SynthAnswer, type SynthRecord } from "../record.ts";
import { type Role, requestSeed } from "../roles.ts";
import { rejectionOf, type StepContext } from "./step.ts";

export const verifierName = "verifier";

/** The seeds of tasks begin so. */
export const taskSeedPrefix = "task:";

/** The record with its answers. Samples that failed are left out; it is rejected if all did. */
export async function answer(record: SynthRecord, context: StepContext): Promise<SynthRecord> {
  const { options, roles } = context;
  if (record.seed.startsWith(taskSeedPrefix) && options.tasks.answeredBy === "verifier") {
    return { ...record, step: "answer", answers: [verifierAnswer(record.truth ?? "")] };
  }
  const able = roles.answerersOf(record.domain, record.difficulty);
  if (able.length === 0) {
    const detail = `no answerer is for ${record.domain} that is ${record.difficulty}`;
    return { ...record, step: "answer", rejected: { step: "answer", reason: "no-answerer", detail } };
  }
  const count = record.answerKind === "text" ? 1 : options.answer.samples;
  const first = new Draws(options.seed, "answerer", record.id).between(0, able.length - 1);
  const samples = Array.from({ length: count }, (_, index) =>
    sample(record, index, able[(first + index) % able.length]!, context),
  );
  const settled = await Promise.allSettled(samples);
  const failures = settled.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
  const answers = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const ending = failures.find((failure) => !(failure instanceof EndpointFailure) || endsTheWork(failure));
  if (ending !== undefined) throw ending;
  const rejected = answers.length === 0 ? rejectionOf(failures[0], "answer") : undefined;
  return { ...record, step: "answer", answers, ...(rejected ? { rejected } : {}) };
}

function verifierAnswer(text: string): SynthAnswer {
  return {
    ...{ text, finishReason: "stop", endpoint: verifierName, model: verifierName },
    ...{ promptVersion: "verifier/1", requestHash: "", cost: noCost },
  };
}

async function sample(
  record: SynthRecord,
  index: number,
  { endpoint, model, client }: Role,
  { options, signal }: StepContext,
): Promise<SynthAnswer> {
  const { isExpert, maxTokens, temperature } = options.answer;
  const request = {
    model,
    messages: answerMessages(record, isExpert),
    ...{ max_tokens: maxTokens, temperature, seed: requestSeed(options.seed, "answer", record.id, index) },
  };
  const { answer: given, requestHash, usage } = await client.chat(request, signal);
  if (given.refusal !== undefined && given.text === "") {
    throw new EndpointFailure("refused", `${model} refuses: ${given.refusal.slice(0, 200)}`, "ask another model");
  }
  return {
    ...{ text: given.text.trim(), finishReason: given.finishReason, endpoint, model, requestHash, cost: usage },
    promptVersion: isExpert ? answerPromptVersion : bareAnswerPromptVersion,
  };
}
