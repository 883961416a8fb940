/**
 * Records of PenguinScrolls, read leniently: as published (prompt, question, answer), and as the code before that had them (input,
 * prompt, output). What else a record has is kept. The published data are not for commercial use and are no part of Rookery.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { isPlainObject } from "../../base/option-schema.ts";

const messageSchema = z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() });
export type ScrollMessage = z.output<typeof messageSchema>;

/** How an answer is scored without a judge; records of our own have one where there is but one right answer. */
export const checkSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("number"), value: z.number() }),
  /** Any of these texts has to stand in the answer. */
  z.object({ type: z.literal("text"), accepted: z.array(z.string().min(1)).min(1) }),
  /** The first letter of the answer that stands alone. */
  z.object({ type: z.literal("choice"), letter: z.string().regex(/^[A-Z]$/) }),
]);
export type Check = z.output<typeof checkSchema>;

export type ScrollRecord = {
  /** `input_md5`: what data, answers and scores are joined by. */
  key: string;
  /** What the model is given: one text with document and question in it, or messages. */
  input: string | readonly ScrollMessage[];
  question: string;
  /** The reference. */
  answer: string;
  isSubjective: boolean;
  /** `dataset`, such as 事实抽取. */
  task: string;
  /** `split`, such as 数值信息抽取. */
  subtask: string;
  tokenCount: number | null;
  /** Characters of `input`, or of its first message, between which the document stands, where that is told. */
  document: { start: number; end: number } | null;
  language: string;
  check: Check | null;
  /** What the record has besides. */
  extra: Record<string, unknown>;
};

const text = z.union([
  z.string(),
  z.number().transform(String),
  z.array(z.string()).transform((all) => all.join("\n")),
]);
const count = z
  .union([z.number(), z.string().regex(/^\d+$/).transform(Number), z.bigint().transform(Number)])
  .nullish();
const flag = z
  .union([z.boolean(), z.number(), z.bigint(), z.string()])
  .nullish()
  .transform((value) => value === true || String(value) === "1" || String(value).toLowerCase() === "true");
const input = z.union([z.string().min(1), z.array(messageSchema).min(1)]);

const common = {
  input_md5: z.string().nullish(),
  is_subjective: flag,
  dataset: z.string().nullish(),
  split: z.string().nullish(),
  token_count: count,
  doc_start: count,
  doc_end: count,
  language: z.string().nullish(),
  check: checkSchema.nullish().catch(null),
};
const published = z.looseObject({ ...common, prompt: input, question: text.nullish(), answer: text });
const earlier = z.looseObject({ ...common, input, prompt: text, output: text });

const known = new Set([...Object.keys(common), "prompt", "question", "answer", "input", "output"]);

/** @returns the record, or what is wrong with it. */
export function readScrollRecord(value: unknown): ScrollRecord | { fault: string } {
  if (!isPlainObject(value)) return { fault: "is no JSON object" };
  const isEarlier = "input" in value && "output" in value && !("answer" in value);
  const parsed = (isEarlier ? earlier : published).safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { fault: `${issue?.path.map(String).join(".") || "the record"}: ${issue?.message}` };
  }
  const row = parsed.data;
  const whole =
    "output" in row && isEarlier ? (row.input as ScrollRecord["input"]) : (row.prompt as ScrollRecord["input"]);
  const asText = typeof whole === "string" ? whole : whole.map(({ content }) => content).join("\n");
  const asked = isEarlier ? row.prompt : row.question;
  const question = typeof asked === "string" ? asked : lastLine(whole);
  return {
    key: row.input_md5 || md5(typeof whole === "string" ? whole : JSON.stringify(whole)),
    input: whole,
    question,
    answer: String(isEarlier ? row.output : row.answer),
    isSubjective: row.is_subjective,
    task: row.dataset || "other",
    subtask: row.split || "other",
    tokenCount: row.token_count ?? null,
    document: spanOf(row.doc_start, row.doc_end, asText.length),
    language: row.language || languageOf(question + asText.slice(0, 4000)),
    check: row.check ?? null,
    extra: Object.fromEntries(Object.entries(row).filter(([name]) => !known.has(name))),
  };
}

export const md5 = (content: string): string => createHash("md5").update(content).digest("hex");

function lastLine(whole: ScrollRecord["input"]): string {
  const last = typeof whole === "string" ? whole : (whole.findLast(({ role }) => role === "user")?.content ?? "");
  return last.trimEnd().split("\n").at(-1) ?? "";
}

function spanOf(start: number | null | undefined, end: number | null | undefined, length: number) {
  if (typeof start !== "number" || typeof end !== "number") return null;
  return Number.isInteger(start) && start >= 0 && start < end && end <= length ? { start, end } : null;
}

/** "zh" where a fifth of the letters are Han characters, else "en": the benchmark has no others. */
export function languageOf(sample: string): string {
  const letters = sample.match(/\p{L}/gu)?.length ?? 0;
  const han = sample.match(/\p{Script=Han}/gu)?.length ?? 0;
  return han > letters / 5 ? "zh" : "en";
}
