/**
 * IFEval (Zhou et al., 2023): instructions whose keeping a program can check. The kinds and their arguments are those of the
 * published data; the checks are our own. Loosely scored, first and last lines and asterisks may be left out.
 */
import { RookeryError } from "../../base/errors.ts";
import { isPlainObject } from "../../base/option-schema.ts";
import { detectLanguage } from "../../data/documents/language.ts";
import { type Row, textOf, textsOf } from "../data/rows.ts";
import type { GenerateTask, Scorer } from "./definition.ts";

type Arguments = Readonly<Record<string, unknown>>;
type Check = (text: string, given: Arguments) => boolean | Promise<boolean>;

const number = (given: Arguments, key: string) => Number(given[key] ?? 0);
const word = (given: Arguments, key: string) => String(given[key] ?? "");
const list = (given: Arguments, key: string) => (Array.isArray(given[key]) ? given[key].map(String) : []);
const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Counts are asked for as "at least" or "less than". */
function related(count: number, given: Arguments, relation: string, key: string): boolean {
  return word(given, relation) === "less than" ? count < number(given, key) : count >= number(given, key);
}

const countWord = (text: string, keyword: string) => text.match(new RegExp(escaped(keyword), "gi"))?.length ?? 0;
const wordsOf = (text: string) => text.match(/[\p{L}\p{N}'’_-]+/gu) ?? [];
const isCased = (text: string) => text.toLowerCase() !== text.toUpperCase();

function sentencesOf(text: string): number {
  const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });
  return [...segmenter.segment(text)].filter(({ segment }) => /[\p{L}\p{N}]/u.test(segment)).length;
}

async function isLanguage(text: string, language: string): Promise<boolean> {
  const found = await detectLanguage(text);
  return found === null || found === language.split("-")[0];
}

const checks: Record<string, Check> = {
  "keywords:existence": (text, given) => list(given, "keywords").every((one) => countWord(text, one) > 0),
  "keywords:forbidden_words": (text, given) =>
    list(given, "forbidden_words").every((one) => !new RegExp(`\\b${escaped(one)}\\b`, "i").test(text)),
  "keywords:frequency": (text, given) =>
    related(countWord(text, word(given, "keyword")), given, "relation", "frequency"),
  "keywords:letter_frequency": (text, given) =>
    related(countWord(text, word(given, "letter")), given, "let_relation", "let_frequency"),
  "language:response_language": (text, given) => isLanguage(text, word(given, "language")),
  "length_constraints:number_words": (text, given) => related(wordsOf(text).length, given, "relation", "num_words"),
  "length_constraints:number_sentences": (text, given) =>
    related(sentencesOf(text), given, "relation", "num_sentences"),
  "length_constraints:number_paragraphs": (text, given) => {
    const paragraphs = text.split(/\s?\*\*\*\s?/).map((one) => one.trim());
    const inner = paragraphs.slice(1, -1);
    return !inner.includes("") && paragraphs.filter((one) => one !== "").length === number(given, "num_paragraphs");
  },
  "length_constraints:nth_paragraph_first_word": (text, given) => {
    const paragraphs = text.split("\n\n").filter((one) => one.trim() !== "");
    const first = wordsOf(paragraphs[number(given, "nth_paragraph") - 1] ?? "")[0]?.toLowerCase();
    return paragraphs.length === number(given, "num_paragraphs") && first === word(given, "first_word").toLowerCase();
  },
  "detectable_content:number_placeholders": (text, given) =>
    (text.match(/\[.*?\]/g)?.length ?? 0) >= number(given, "num_placeholders"),
  "detectable_content:postscript": (text, given) => {
    const marker = word(given, "postscript_marker").toLowerCase().replaceAll(/[\s.]/g, "");
    return text.split("\n").some((line) => line.toLowerCase().replaceAll(/[\s.]/g, "").startsWith(marker));
  },
  "detectable_format:number_bullet_lists": (text, given) =>
    (text.match(/^\s*(?:\*(?!\*)|-)\s*\S.*$/gm)?.length ?? 0) === number(given, "num_bullets"),
  "detectable_format:constrained_response": (text) =>
    ["My answer is yes.", "My answer is no.", "My answer is maybe."].some((one) => text.includes(one)),
  "detectable_format:number_highlighted_sections": (text, given) =>
    (text.match(/\*\*[^\n*]+\*\*|(?<!\*)\*[^\n*]+\*(?!\*)/g)?.filter((one) => /[^*\s]/.test(one)).length ?? 0) >=
    number(given, "num_highlights"),
  "detectable_format:multiple_sections": (text, given) =>
    text.split(new RegExp(`\\s?${escaped(word(given, "section_spliter"))}\\s?\\d+\\s?`)).length - 1 >=
    number(given, "num_sections"),
  "detectable_format:json_format": (text) => {
    const inner = text.trim().replace(/^```(?:json)?\s*|\s*```$/gi, "");
    try {
      JSON.parse(inner);
      return true;
    } catch {
      return false;
    }
  },
  "detectable_format:title": (text) => /<<[^\n]*[^\s<>][^\n]*>>/.test(text),
  "combination:two_responses": (text) => {
    const parts = text.split("******").map((one) => one.trim());
    const whole = parts.filter((one, at) => one !== "" || (at > 0 && at < parts.length - 1));
    return whole.length === 2 && !whole.includes("") && whole[0] !== whole[1];
  },
  "combination:repeat_prompt": (text, given) =>
    text.trim().toLowerCase().startsWith(word(given, "prompt_to_repeat").trim().toLowerCase()),
  "startend:end_checker": (text, given) =>
    text.trim().replace(/^"|"$/g, "").toLowerCase().endsWith(word(given, "end_phrase").trim().toLowerCase()),
  "startend:quotation": (text) => text.trim().length > 1 && /^".*"$/s.test(text.trim()),
  "change_case:capital_word_frequency": (text, given) =>
    related(
      wordsOf(text).filter((one) => isCased(one) && one === one.toUpperCase()).length,
      given,
      "capital_relation",
      "capital_frequency",
    ),
  "change_case:english_capital": async (text) => text === text.toUpperCase() && (await isLanguage(text, "en")),
  "change_case:english_lowercase": async (text) => text === text.toLowerCase() && (await isLanguage(text, "en")),
  "punctuation:no_comma": (text) => !/[,，]/.test(text),
};

/** Whether `text` keeps the instruction. @throws RookeryError BAD_DATA for a kind that is not known. */
export async function keepsInstruction(kind: string, text: string, given: Arguments): Promise<boolean> {
  const check = checks[kind];
  if (!check) throw new RookeryError("BAD_DATA", `the instruction ${kind} is not known`, "use the published data");
  return text.trim() !== "" && (await check(text, given));
}

/** Ways to read an answer that loose scoring allows. */
function looseForms(answer: string): string[] {
  const lines = answer.split("\n");
  const cut = [lines, lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((one) => one.join("\n").trim());
  return cut.flatMap((one) => [one, one.replaceAll("*", "")]);
}

async function kept(answer: string, row: Row, isLoose: boolean): Promise<boolean[]> {
  const kinds = textsOf(row, "instruction_id_list");
  const given = Array.isArray(row.kwargs) ? row.kwargs : [];
  const forms = isLoose ? looseForms(answer) : [answer];
  const results: boolean[] = [];
  for (const [index, kind] of kinds.entries()) {
    const one = given[index];
    const found = await Promise.all(forms.map((form) => keepsInstruction(kind, form, isPlainObject(one) ? one : {})));
    results.push(found.some(Boolean));
  }
  return results;
}

const scorer = (name: string, isLoose: boolean, from: (all: boolean[]) => number): Scorer => ({
  name,
  score: async (answer, { row }) => from(await kept(answer, row, isLoose)),
});
const every = (all: boolean[]) => (all.every(Boolean) ? 1 : 0);
const share = (all: boolean[]) => all.filter(Boolean).length / Math.max(1, all.length);

export const ifeval: GenerateTask = {
  name: "ifeval",
  title: "IFEval",
  hub: "google/IFEval",
  kind: "generate",
  splits: { test: ["train", "test"] },
  shots: { count: 0, draw: "first" },
  prompt: (row) => textOf(row, "prompt"),
  target: () => "",
  references: () => [],
  messages: (row) => [{ role: "user", content: textOf(row, "prompt") }],
  stop: [],
  maxTokens: 1280,
  scorers: [
    scorer("prompt_strict", false, every),
    scorer("prompt_loose", true, every),
    scorer("instruction_strict", false, share),
    scorer("instruction_loose", true, share),
  ],
};
