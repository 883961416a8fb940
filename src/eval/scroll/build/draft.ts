/** A question about a document before it has been checked. */
import type { Check, ScrollMessage } from "../record.ts";
import type { ScrollSource, Span } from "./source.ts";

/** The names that PenguinScrolls' own data have. */
export const taskNames = {
  extraction: "事实抽取",
  localization: "信息定位",
  qualitative: "推理分析",
  numerical: "推理计算",
  tables: "表格计算",
} as const;
export type DraftTask = keyof typeof taskNames;

export type Draft = {
  task: DraftTask;
  /** `split`, by PenguinScrolls' names where it has one. */
  subtask: string;
  question: string;
  answer: string;
  isSubjective: boolean;
  check: Check | null;
  /** Where the answer is taken from, word for word. */
  evidence: (Span & { text: string; heading: string | null; page: number | null })[];
  /** Turns before the question, the document standing in the first. */
  before: ScrollMessage[];
  /** Who wrote it: "template", or a model. */
  drafter: string;
};

/** The text at a span, with the section that it stands in. */
export function evidenceAt(source: ScrollSource, { start, end }: Span): Draft["evidence"][number] {
  const section = source.sections.findLast((one) => one.start <= start);
  return {
    ...{ start, end, text: source.text.slice(start, end) },
    ...{ heading: section?.heading ?? null, page: section?.page ?? null },
  };
}

/** Where `text` stands, if it does so once only. */
export function onlyPlaceOf(source: ScrollSource, text: string): Span | null {
  const start = source.text.indexOf(text);
  if (text === "" || start < 0 || source.text.includes(text, start + 1)) return null;
  return { start, end: start + text.length };
}
