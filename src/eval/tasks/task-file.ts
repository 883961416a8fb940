/** Own tasks: a YAML file of a dozen lines, or a TypeScript file whose default export is a `TaskDefinition`. */
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { quoteForMessage, readTextFile } from "../../base/files.ts";
import { isPlainObject, refuseUnknownKeys, toOptionSchema } from "../../base/option-schema.ts";
import type { Row } from "../data/rows.ts";
import type { Scorer, TaskDefinition } from "./definition.ts";
import {
  contains,
  type Extract,
  exactMatch,
  extractMatch,
  judged,
  mathAnswer,
  passAtOne,
  plainMatch,
  wordF1,
} from "./scorers.ts";
import { listTemplate, textTemplate } from "./template.ts";

const metricNames = ["exact_match", "plain_match", "f1", "contains", "math", "pass@1", "judge"] as const;
const text = z.string();
const oneOrMore = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

const schema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]{1,60}$/)
    .describe("as typed after --tasks"),
  title: text.optional(),
  hub: z
    .string()
    .regex(/^[\w.-]+\/[\w.-]+$/)
    .optional()
    .describe("the data set on the Hugging Face hub"),
  data: z
    .union([text, z.strictObject({ test: oneOrMore, shots: oneOrMore.optional() })])
    .optional()
    .describe("a file or folder beside this file, or the files of its splits"),
  test: oneOrMore.default(["test"]).describe("the split that is asked"),
  shotsFrom: oneOrMore.optional().describe("the split that shots come from"),
  shots: z.int().min(0).max(64).default(0),
  draw: z.enum(["first", "random"]).default("random").describe("how shots are chosen"),
  parts: z.array(text).optional().describe("only these subjects or configurations"),
  each: text
    .optional()
    .describe("a list in each row: every entry becomes a question, with the row's columns beside it"),
  description: text.default(""),
  prompt: text,
  delimiter: text.default(" "),
  kind: z.enum(["choice", "generate"]),
  choices: oneOrMore.optional(),
  answer: text.optional().describe("of a choice: which is right, from 0"),
  primary: z.enum(["acc", "acc_norm"]).default("acc"),
  target: text.optional().describe("the answer in a shot"),
  references: oneOrMore.optional().describe("right answers; by default the target"),
  stop: z.array(z.string().min(1)).max(16).default([]),
  maxTokens: z.int().min(1).max(65_536).default(64),
  chat: z.boolean().default(false).describe("always asked as a chat"),
  extract: z
    .strictObject({ pattern: text, flags: z.string().default(""), which: z.enum(["first", "last"]).default("first") })
    .optional()
    .describe("what of the answer is compared"),
  ignoreCase: z.boolean().default(false),
  ignorePunctuation: z.boolean().default(false),
  metrics: z.array(z.enum(metricNames)).min(1).default(["exact_match"]),
  program: text.optional().describe("of pass@1: the program, `{{answer}}` being what was written"),
  tests: text.optional().describe("of pass@1: the tests"),
});
type TaskFile = z.output<typeof schema>;

const largestFileBytes = 2 ** 20;

/** A task, and where its data lies if the file says so. */
export type LoadedTask = { task: TaskDefinition; data?: string | { test: string[]; shots: string[] } };

/** @throws RookeryError FILE_UNREADABLE, INVALID_CONFIG naming the key. */
export async function loadTaskFile(file: string): Promise<LoadedTask> {
  return /\.(ts|mts|js|mjs)$/.test(file) ? await loadModule(file) : await loadYaml(file);
}

async function loadModule(file: string): Promise<LoadedTask> {
  if (!fs.existsSync(file)) throw new RookeryError("FILE_UNREADABLE", `${file} does not exist`, "correct the path");
  let loaded: { default?: unknown };
  try {
    loaded = (await import(pathToFileURL(path.resolve(file)).href)) as typeof loaded;
  } catch (error) {
    throw new RookeryError("INVALID_CONFIG", `${file}: ${(error as Error).message.split("\n")[0]}`, "mend the file", {
      cause: error,
    });
  }
  const task = loaded.default;
  if (isPlainObject(task) && typeof task.name === "string" && (task.kind === "choice" || task.kind === "generate")) {
    const { data } = loaded as { data?: unknown };
    const definition = task as unknown as TaskDefinition;
    return { task: definition, ...(typeof data === "string" ? { data: beside(file, data) } : {}) };
  }
  throw new RookeryError(
    "INVALID_CONFIG",
    `${file} has no task as its default export`,
    "export default defineTask({ … }), as docs/evaluation.md shows",
  );
}

async function loadYaml(file: string): Promise<LoadedTask> {
  const source = readTextFile(file, largestFileBytes);
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(source, { maxAliasCount: 100 });
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new RookeryError("INVALID_CONFIG", `${file} is no YAML: ${reason}`, "mend the file");
  }
  refuseUnknownKeys(toOptionSchema(schema), value, file);
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const { path: where, message } = parsed.error.issues[0]!;
    throw invalid(file, `${where.join(".") || "the file"}: ${message}`);
  }
  const { data } = parsed.data;
  const task = taskOf(file, parsed.data);
  if (data === undefined) return { task };
  if (typeof data === "string") return { task, data: beside(file, data) };
  const files = (given: string | string[] | undefined) => listOf(given ?? []).map((one) => beside(file, one));
  return { task, data: { test: files(data.test), shots: files(data.shots) } };
}

const beside = (file: string, given: string) => path.resolve(path.dirname(file), given);
const listOf = (given: string | readonly string[]): string[] => (typeof given === "string" ? [given] : [...given]);

function taskOf(file: string, one: TaskFile): TaskDefinition {
  const { parts, each } = one;
  const shotSplits = one.shotsFrom ?? (typeof one.data === "object" && one.data.shots ? "shots" : undefined);
  const common = {
    name: one.name,
    title: one.title ?? one.name,
    ...(one.hub ? { hub: one.hub } : {}),
    splits: { test: listOf(one.test), ...(shotSplits ? { shots: listOf(shotSplits) } : {}) },
    shots: { count: one.shots, draw: one.draw },
    ...(parts ? { hasPart: (part: string) => parts.includes(part) } : {}),
    ...(each === undefined ? {} : { prepare: (row: Row) => entriesOf(row, each) }),
    description: (part: string) => one.description.replaceAll("{{part}}", part.replaceAll("_", " ")),
    delimiter: one.delimiter,
  };
  const prompt = textTemplate(one.prompt);
  if (one.kind === "choice") {
    if (one.choices === undefined || one.answer === undefined) throw invalid(file, "a choice needs choices and answer");
    const answer = textTemplate(one.answer);
    return {
      ...common,
      kind: "choice",
      contexts: prompt,
      choices: listTemplate(one.choices),
      gold: (row) => Number(answer(row)),
      primary: one.primary,
    };
  }
  const needsTarget = one.target === undefined && one.references === undefined;
  if (needsTarget && !one.metrics.includes("judge") && one.tests === undefined) {
    throw invalid(file, "generate needs a target or references");
  }
  const references = listTemplate(one.references ?? one.target ?? []);
  const target = one.target === undefined ? (row: Row) => references(row)[0] ?? "" : textTemplate(one.target);
  return {
    ...common,
    kind: "generate",
    prompt,
    target,
    references,
    stop: one.stop,
    maxTokens: one.maxTokens,
    scorers: one.metrics.map((metric) => scorerOf(file, metric, one)),
    ...(one.chat ? { messages: (row: Row) => [{ role: "user" as const, content: prompt(row) }] } : {}),
  };
}

/** DROP and C3 have several questions a passage. */
function entriesOf(row: Row, column: string): Row[] {
  const entries = row[column];
  if (Array.isArray(entries))
    return entries.map((entry) => ({ ...row, ...(isPlainObject(entry) ? entry : { entry }) }));
  // Parquet keeps lists of records as a record of lists
  if (isPlainObject(entries)) {
    const lists = Object.entries(entries).filter((one): one is [string, unknown[]] => Array.isArray(one[1]));
    const length = Math.max(0, ...lists.map(([, list]) => list.length));
    return Array.from({ length }, (_, at) => ({
      ...row,
      ...Object.fromEntries(lists.map(([key, list]) => [key, list[at]])),
    }));
  }
  throw new RookeryError("BAD_DATA", `the column ${quoteForMessage(column)} is no list`, "mend `each`, or the data");
}

function scorerOf(file: string, metric: (typeof metricNames)[number], one: TaskFile): Scorer {
  const extract = one.extract ? extractorOf(file, one.extract) : undefined;
  const extracting = (scorer: Scorer): Scorer =>
    extract ? { ...scorer, score: (answer, about, context) => scorer.score(extract(answer), about, context) } : scorer;
  switch (metric) {
    case "exact_match": {
      const { ignoreCase, ignorePunctuation } = one;
      return exactMatch("exact_match", { ignoreCase, ignorePunctuation }, extract ?? ((answer) => answer.trim()));
    }
    case "plain_match":
      return extracting({ ...plainMatch, name: "plain_match" });
    case "f1":
      return extracting(wordF1);
    case "contains":
      return extracting(contains);
    case "math":
      return extracting(mathAnswer);
    case "judge":
      return judged;
    case "pass@1": {
      if (one.program === undefined || one.tests === undefined) throw invalid(file, "pass@1 needs program and tests");
      const program = textTemplate(one.program);
      return passAtOne((answer, row) => program({ ...row, answer }), textTemplate(one.tests));
    }
  }
}

function extractorOf(file: string, { pattern, flags, which }: NonNullable<TaskFile["extract"]>): Extract {
  try {
    return extractMatch(new RegExp(pattern, flags), which);
  } catch (error) {
    throw invalid(file, `extract.pattern: ${(error as Error).message}`);
  }
}

function invalid(file: string, what: string): RookeryError {
  return new RookeryError("INVALID_CONFIG", `${file}: ${what}`, "mend the file; docs/evaluation.md lists the keys");
}
