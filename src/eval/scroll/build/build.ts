/** A benchmark of one's own documents: drafted, checked, and written in PenguinScrolls' schema. */
import type { CommandContext } from "../../../base/events.ts";
import { Draws } from "../../../tasks/random.ts";
import { md5, type ScrollMessage } from "../record.ts";
import {
  type CheckName,
  checkClosedBook,
  checkConsistency,
  checkEvidence,
  checkQuestion,
  type Examiner,
  type Finding,
} from "./checks.ts";
import { dialogues } from "./dialogue-templates.ts";
import { type Draft, type DraftTask, taskNames } from "./draft.ts";
import { draftByModel, type Writer } from "./endpoint-drafter.ts";
import { spreadOver } from "./sentences.ts";
import type { ScrollSource } from "./source.ts";
import { tableTemplates } from "./table-templates.ts";
import { textTemplates } from "./text-templates.ts";
import { wordings } from "./wordings.ts";

export type BuildSettings = {
  /** Most items of each task from one document. */
  perTask: number;
  /** Most dialogues from one document. */
  dialogues: number;
  seed: number;
  checks: readonly CheckName[];
  /** Tries of the check of consistency. */
  samples: number;
  /** Questions that the model drafts: passages of each document, and questions about each. */
  passages: number;
  perPassage: number;
};

export type BuildModels = { writer?: Writer | undefined; examiner?: Examiner | undefined };

export type BuiltItem = {
  draft: Draft;
  source: Pick<ScrollSource, "path" | "title" | "language">;
  /** A record of PenguinScrolls, with evidence and check besides. */
  record: ScrollRow;
  rejected: Finding | null;
  /** Why a person should look, although no check has failed. */
  doubt: string | null;
};

/** As published, and what else is known of it. */
export type ScrollRow = {
  input_md5: string;
  question: string;
  answer: string;
  is_subjective: 0 | 1;
  dataset: string;
  split: string;
  token_count: number;
  language: string;
  check: Draft["check"];
  evidence: Draft["evidence"];
  source: string;
  drafter: string;
  /** Where the document stands in `prompt`, or in its first message. */
  doc_start: number;
  doc_end: number;
  prompt: string | ScrollMessage[];
};

/** Every question about one document, those that failed a check among them. */
export async function buildFrom(
  source: ScrollSource,
  settings: BuildSettings,
  { writer, examiner }: BuildModels,
  countTokens: (text: string) => Promise<number>,
  { signal }: CommandContext,
): Promise<{ items: BuiltItem[]; failedPassages: number }> {
  const { seed, passages, perPassage } = settings;
  const drafts = templateDrafts(source, settings);
  let failedPassages = 0;
  if (writer) {
    const asked = { count: passages, perPassage, draws: new Draws(seed, "passages", source.path) };
    const written = await draftByModel(source, writer, asked, signal);
    drafts.push(...written.drafts);
    failedPassages = written.failed;
  }
  const documentTokens = await countTokens(source.text);
  const seen = new Set<string>();
  const items: BuiltItem[] = [];
  for (const draft of drafts) {
    signal?.throwIfAborted();
    const { finding: rejected, doubt } = await check(source, draft, settings, examiner, seen, signal);
    const record = rowOf(source, draft, documentTokens + (await countTokens(draft.question)));
    items.push({ draft, source, record, rejected, doubt });
  }
  return { items, failedPassages };
}

/** By task at most `perTask`, taken from all templates of the task in turn. */
function templateDrafts(source: ScrollSource, { perTask, dialogues: numDialogues, seed }: BuildSettings): Draft[] {
  const made = [...textTemplates, ...tableTemplates].map((make, index) =>
    make(source, perTask, new Draws(seed, "template", index, source.path)),
  );
  const byTask = new Map<DraftTask, Draft[][]>();
  for (const [task, drafts] of Map.groupBy(made.flat(), (draft) => draft.task)) {
    byTask.set(task, [...Map.groupBy(drafts, ({ subtask }) => subtask).values()]);
  }
  const chosen = [...byTask.values()].flatMap((kinds) => {
    const share = Math.ceil(perTask / kinds.length);
    const draws = new Draws(seed, "choice", source.path);
    return kinds.flatMap((drafts) => spreadOver(drafts, share, draws)).slice(0, perTask);
  });
  return [...chosen, ...dialogues(source, numDialogues, new Draws(seed, "dialogues", source.path))];
}

async function check(
  source: ScrollSource,
  draft: Draft,
  { checks, samples }: BuildSettings,
  examiner: Examiner | undefined,
  seen: Set<string>,
  signal: AbortSignal | undefined,
): Promise<{ finding: Finding | null; doubt: string | null }> {
  const has = (name: CheckName) => checks.includes(name);
  const cheap =
    (has("evidence") ? checkEvidence(source, draft) : null) ?? (has("question") ? checkQuestion(draft, seen) : null);
  if (cheap || !examiner) return { finding: cheap, doubt: null };
  const known = has("closedBook") ? await checkClosedBook(examiner, source, draft, signal) : null;
  if (known || !has("consistency")) return { finding: known, doubt: null };
  const { finding, rightShare } = await checkConsistency(examiner, source, draft, samples, signal);
  const doubt =
    !finding && rightShare < 1 ? `only ${Math.round(rightShare * samples)} of ${samples} answers agreed` : null;
  return { finding, doubt };
}

function rowOf(source: ScrollSource, draft: Draft, tokens: number): ScrollRow {
  const { language, text, path } = source;
  const { task, subtask, question, answer, isSubjective, before, check: test, evidence, drafter } = draft;
  const words = wordings[language];
  const instruction = isSubjective ? words.explainFrom : words.answerFrom;
  const ask = (asked: string) => `${text}\n\n${instruction}\n${words.question}${asked}`;
  const [first, ...turns] = before;
  const prompt = first
    ? [{ ...first, content: ask(first.content) }, ...turns, { role: "user" as const, content: question }]
    : ask(question);
  return {
    input_md5: md5(typeof prompt === "string" ? prompt : JSON.stringify(prompt)),
    ...{ question, answer, is_subjective: isSubjective ? 1 : 0, dataset: taskNames[task], split: subtask },
    ...{ token_count: tokens, language, check: test, evidence, source: path, drafter },
    ...{ doc_start: 0, doc_end: text.length, prompt },
  };
}
