/** What instructions are made from: passages of documents and code, and questions that are asked as they are. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { CommandContext } from "../base/events.ts";
import { readConversation } from "../data/chat.ts";
import { documentKind, documentText } from "../data/documents/document.ts";
import { detectLanguage } from "../data/documents/language.ts";
import { DocumentReader } from "../data/documents/read.ts";
import { readUsableDocument } from "../data/documents/usable.ts";
import { fileFormat, readFileDocuments, readFileRecords, resolveFiles } from "../data/files.ts";
import { PassageCutter } from "../data/passages.ts";
import { Problems } from "../data/problems.ts";
import { anyDomain, type SeedSource } from "./options.ts";
import type { AnswerKind } from "./record.ts";

export type Seed = {
  /** FILE#NUMBER, for people. */
  name: string;
  /** Undefined until a model has named it. */
  domain: string | undefined;
  language: string;
} & (
  | { kind: "passage"; text: string }
  | { kind: "question"; instruction: string; truth: string | undefined; answerKind: AnswerKind }
);

export type SeedReading = { sources: readonly SeedSource[]; passageCharacters: number };

/** Text of programs: their language among people cannot be told, and they are read as they stand. */
const codeEndings = new Set(
  ".c .cc .cpp .cs .css .go .h .hpp .hs .java .js .jsx .kt .lua .m .ml .php .pl .pm .py .r .rb .rs .scala .sh .sql .swift .ts .tsx".split(
    " ",
  ),
);
const largestCodeBytes = 2 * 2 ** 20;
/** Less than a sentence or two gives rise to nothing. */
const shortestPassage = 40;
const mostPassagesOfDocument = 10_000;
const longestPhrase = 60;
const languageOfUnknown = "en";

/** Kinds of documents that their own reader takes apart; plain text and tables stream through the reader of data. */
const isDocument = (file: string) => !["text", "table", null].includes(documentKind(file));
const isCode = (file: string) => codeEndings.has(path.extname(file).toLowerCase());
const isReadable = (file: string) => isDocument(file) || fileFormat(file) !== null || isCode(file);

/**
 * The seeds of all sources in a fixed order. What cannot be read is told of and passed over.
 * @throws RookeryError FILE_UNREADABLE for a source that is not there; the signal's reason.
 */
export async function* readSeeds(
  { sources, passageCharacters }: SeedReading,
  context: CommandContext,
): AsyncGenerator<Seed> {
  const problems = new Problems(false, context);
  await using reader = new DocumentReader();
  for (const source of sources) {
    const onUnreadable = (file: string) => problems.report(source.path, "unreadable", file, null, "cannot be read");
    const { files } = await resolveFiles(source.path, onUnreadable, isReadable);
    for (const [index, file] of files.entries()) {
      context.signal?.throwIfAborted();
      context.onEvent?.({
        type: "progress",
        what: `reading ${source.path}`,
        done: index,
        total: files.length,
        unit: "files",
      });
      const seeds =
        source.kind === "questions"
          ? readQuestions(source, file, problems)
          : readPassages(source, file, { reader, passageCharacters, problems, context });
      yield* seeds;
    }
  }
}

type PassageReading = {
  reader: DocumentReader;
  passageCharacters: number;
  problems: Problems;
  context: CommandContext;
};

async function* readPassages(source: SeedSource, file: string, reading: PassageReading): AsyncGenerator<Seed> {
  let number = 0;
  for await (const { text, language } of textsOf(source, file, reading)) {
    for (const passage of passagesOf(text, reading.passageCharacters)) {
      number += 1;
      yield { kind: "passage", name: `${file}#${number}`, domain: domainOf(source), language, text: passage };
    }
  }
}

const domainOf = ({ domain }: SeedSource) => (domain === anyDomain ? undefined : domain);

async function languageOf(source: SeedSource, text: string): Promise<string> {
  return source.language ?? (await detectLanguage(text)) ?? languageOfUnknown;
}

async function* textsOf(
  source: SeedSource,
  file: string,
  { reader, passageCharacters, problems, context }: PassageReading,
): AsyncGenerator<{ text: string; language: string }> {
  const problem = (kind: Parameters<Problems["report"]>[1], line: number | null, what: string) =>
    problems.report(source.path, kind, file, line, what);
  if (isDocument(file)) {
    const document = await readUsableDocument(file, reader, problem, context);
    if (document === undefined) return;
    yield {
      text: documentText(document),
      language: source.language ?? document.language ?? languageOfUnknown,
    };
  } else if (isCode(file)) {
    const bytes = await readFile(file).catch(() => undefined);
    if (bytes === undefined) problem("unreadable", null, "cannot be read");
    else if (bytes.length > largestCodeBytes) problem("tooLong", null, "is too long for a file of code");
    else yield { text: bytes.toString("utf8"), language: source.language ?? languageOfUnknown };
  } else {
    const options = { textField: undefined, maxDocumentCharacters: passageCharacters, problem };
    for await (const { text } of readFileDocuments(file, options))
      yield { text, language: await languageOf(source, text) };
  }
}

function passagesOf(text: string, most: number): string[] {
  const cutter = new PassageCutter(most);
  return [...cutter.add(text, 1), ...cutter.end()]
    .map((passage) => passage.text.trim())
    .filter((passage) => passage.length >= shortestPassage)
    .slice(0, mostPassagesOfDocument);
}

async function* readQuestions(source: SeedSource, file: string, problems: Problems): AsyncGenerator<Seed> {
  let number = 0;
  const records = readFileRecords(file, (kind, line, what) => problems.report(source.path, kind, file, line, what));
  for await (const { record, line } of records) {
    const found = questionOf(record);
    if (found === undefined) {
      problems.report(
        source.path,
        "missingField",
        file,
        line,
        "has no question (question, prompt, instruction or messages)",
      );
      continue;
    }
    number += 1;
    const { instruction, truth } = found;
    const language = await languageOf(source, instruction);
    const answerKind = truth === undefined ? "text" : kindOfAnswer(truth);
    yield {
      kind: "question",
      name: `${file}#${number}`,
      domain: domainOf(source),
      language,
      instruction,
      truth,
      answerKind,
    };
  }
}

/** A question in one of the forms that people have, with its answer if it is there. */
function questionOf(record: unknown): { instruction: string; truth: string | undefined } | undefined {
  if (typeof record !== "object" || record === null) return undefined;
  const fields = record as Record<string, unknown>;
  const conversation = readConversation(record);
  if ("value" in conversation) {
    const turns = conversation.value.messages.filter(({ role }) => role !== "system");
    return turns.length === 2 ? { instruction: turns[0]!.content, truth: turns[1]!.content } : undefined;
  }
  const instruction = textOf(fields.question) ?? textOf(fields.prompt) ?? textOf(fields.instruction);
  if (instruction === undefined) return undefined;
  return { instruction, truth: textOf(fields.answer) ?? textOf(fields.output) };
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value.trim() !== "" && value.isWellFormed() ? value : undefined;
}

/** How an answer that is known to be right is compared with others. */
export function kindOfAnswer(answer: string): AnswerKind {
  const text = answer.trim();
  if (/^[-+−]?\d[\d,. ]*%?$/.test(text)) return "number";
  if (/^\(?[A-H]\)?\.?$/.test(text)) return "choice";
  if (/^[{[]/.test(text)) return "json";
  return text.length <= longestPhrase && !text.includes("\n") ? "phrase" : "text";
}
