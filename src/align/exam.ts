/** Questions that have one right answer each, put to a model in the state it is in, and scored by exact match. */

import type { CommandContext } from "../base/events.ts";
import { hash32, streamKeys } from "../base/random.ts";
import { type Reading, readConversation } from "../data/chat.ts";
import { ChatFaults, readChatFiles } from "../data/chat-files.ts";
import { betweenTaskTexts, taskText } from "../tasks/records.ts";
import { isRight } from "../tasks/score.ts";
import { type ChatMessage, encodeChat } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Sampler } from "./sampler.ts";

export type ExamQuestion = {
  id: string;
  family: string;
  language: string;
  messages: ChatMessage[];
  answer: string;
};

export type ExamAnswer = Pick<ExamQuestion, "id" | "family" | "language" | "answer"> & {
  /** What the model said. */
  given: string;
  isRight: boolean;
};

/** The last turn of a conversation is the right answer; `id`, `family` and `language` are as `rookery tasks generate` writes them. */
function readQuestion(record: unknown): Reading<ExamQuestion> {
  const reading = readConversation(record);
  if ("fault" in reading) return reading;
  const named = record as Record<string, unknown>;
  const text = (key: string, otherwise: string) => (typeof named[key] === "string" ? named[key] : otherwise);
  const { messages } = reading.value;
  return {
    value: {
      id: text("id", String(hash32(streamKeys(0, JSON.stringify(messages)), 0))),
      family: text("family", "questions"),
      language: text("language", ""),
      messages: messages.slice(0, -1),
      answer: messages.at(-1)!.content,
    },
  };
}

/** The questions of files, in their order. @throws RookeryError FILE_UNREADABLE, BAD_DATA where there are none. */
export async function readQuestions(paths: readonly string[], context: CommandContext): Promise<ExamQuestion[]> {
  const records = await readChatFiles(paths, readQuestion, new ChatFaults(context), context);
  return records.map(({ value }) => value);
}

/** Every question as the prompt of a chat. */
export function encodeQuestions(tokenizer: Tokenizer, questions: readonly ExamQuestion[]): Promise<Int32Array[]> {
  return Promise.all(questions.map(async ({ messages }) => (await encodeChat(tokenizer, messages)).ids));
}

/**
 * Every question as plain text after `count` examples of its family and language, for a model that only continues texts.
 * @param pool what examples are drawn from; which ones is fixed by the question's id.
 */
export function encodeWithExamples(
  tokenizer: Tokenizer,
  questions: readonly ExamQuestion[],
  pool: readonly ExamQuestion[],
  count: number,
): Promise<Int32Array[]> {
  const kindOf = ({ family, language }: ExamQuestion) => `${family} ${language}`;
  const kinds = Map.groupBy(pool, kindOf);
  const asked = ({ messages }: ExamQuestion) => messages.at(-1)!.content;
  return Promise.all(
    questions.map(async (question) => {
      const some = kinds.get(kindOf(question)) ?? pool;
      const keys = streamKeys(0, "examples", question.id);
      const texts = Array.from({ length: count }, (_, i) => {
        const example = some[hash32(keys, i) % some.length]!;
        return taskText({ question: asked(example), answer: example.answer });
      });
      const text = [...texts, taskText({ question: asked(question) })].join(betweenTaskTexts);
      return Int32Array.of(tokenizer.controlId("startOfText"), ...(await tokenizer.encodeText(text)));
    }),
  );
}

export type ExamSettings = {
  maxAnswerTokens: number;
  stopStrings?: readonly string[];
  signal?: AbortSignal | undefined;
};

/** The likeliest answer to each question. @param prompts those of the questions, one each. */
export function takeExam(
  sampler: Sampler,
  questions: readonly ExamQuestion[],
  prompts: readonly Int32Array[],
  { maxAnswerTokens, stopStrings, signal }: ExamSettings,
): ExamAnswer[] {
  const request = { count: 1, maxTokens: maxAnswerTokens, temperature: 0, seedOf: () => 0 };
  const answers = sampler.answer(prompts, { ...request, ...(stopStrings ? { stopStrings } : {}), signal });
  return questions.map((question, i) => {
    const { id, family, language, answer } = question;
    const given = answers[i]!.text;
    return { id, family, language, answer, given, isRight: isRight(question, given) };
  });
}
