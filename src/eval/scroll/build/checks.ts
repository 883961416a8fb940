/** Whether a question is fit to be asked: each check says why not, the cheap ones first. */
import type { EndpointClient } from "../../../endpoint/client.ts";
import { EndpointFailure } from "../../../endpoint/failure.ts";
import { checkAnswer, numbersIn } from "../check.ts";
import { judgeMessages, objectiveVerdict, subjectiveVerdict, verdictTokens } from "../rubric.ts";
import type { Draft } from "./draft.ts";
import type { ScrollSource } from "./source.ts";
import { wordings } from "./wordings.ts";

export const checkNames = {
  evidence: "the evidence stands in the document, word for word, and holds the answer where it is an extract",
  question: "the question is there, is not another one again, and does not tell the answer",
  closedBook: "a model cannot answer it without the document",
  consistency: "a model that sees the evidence gives the answer, in most of several tries",
} as const;
export type CheckName = keyof typeof checkNames;

export type Finding = { check: CheckName; reason: string };

const plain = (text: string) =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s\p{P}]+/gu, "");

/** @returns why the draft is no good, or null. */
export function checkEvidence(source: ScrollSource, { evidence, answer, check, task }: Draft): Finding | null {
  const bad = (reason: string): Finding => ({ check: "evidence", reason });
  if (evidence.length === 0) return bad("no evidence");
  for (const { start, end, text } of evidence) {
    if (source.text.slice(start, end) !== text)
      return bad("the evidence does not stand in the document as it is quoted");
  }
  const words = evidence.map(({ text }) => text).join(" ");
  const isExtract = task === "extraction" && check !== null;
  const isThere =
    plain(words).includes(plain(answer)) || (check?.type === "number" && numbersIn(words).includes(check.value));
  return isExtract && !isThere ? bad("the evidence does not hold the answer") : null;
}

/** @param seen questions that were there before, which this one joins. */
export function checkQuestion({ question, answer, check, before, task }: Draft, seen: Set<string>): Finding | null {
  const bad = (reason: string): Finding => ({ check: "question", reason });
  if (question.length < 4 || answer === "") return bad("the question or its answer is empty");
  const name = plain(before.map(({ content }) => content).join(" ") + question);
  if (seen.has(name)) return bad("the same question again");
  seen.add(name);
  const tellsNumber = task === "extraction" && check?.type === "number" && numbersIn(question).includes(check.value);
  const tellsText = check?.type === "text" && check.accepted.some((one) => plain(question).includes(plain(one)));
  return tellsNumber || tellsText ? bad("the question tells the answer") : null;
}

export type Examiner = { client: EndpointClient; model: string };

/** Half right, as a judge sees it, is knowing it. */
const knownFrom = 0.6;

/** Asks without the document. What a coin could tell is not asked. @throws EndpointFailure of the kind `fatal`. */
export async function checkClosedBook(
  examiner: Examiner,
  source: ScrollSource,
  draft: Draft,
  signal: AbortSignal | undefined,
): Promise<Finding | null> {
  // later turns of a dialogue have the answers to the earlier ones, and still not the document
  if (draft.check?.type === "choice") return null;
  const title = source.language === "zh" ? `文档《${source.title}》。` : `The document is "${source.title}".`;
  const said = await ask(
    examiner,
    [...draft.before, { role: "user", content: `${title}\n${draft.question}` }],
    { temperature: 0, seed: 0 },
    signal,
  );
  if (said === null) return null;
  return (await gradeOf(examiner, draft, said, signal)) >= knownFrom
    ? { check: "closedBook", reason: `answered without the document: ${said.slice(0, 100)}` }
    : null;
}

export type Consistency = { finding: Finding | null; rightShare: number };

/** Asks several times with what stands around the evidence. @throws EndpointFailure of the kind `fatal`. */
export async function checkConsistency(
  examiner: Examiner,
  source: ScrollSource,
  draft: Draft,
  samples: number,
  signal: AbortSignal | undefined,
): Promise<Consistency> {
  const words = wordings[source.language];
  const task = draft.isSubjective ? words.explainFrom : words.answerFrom;
  const [first, ...turns] = [
    ...draft.before,
    { role: "user" as const, content: `${task}\n${words.question}${draft.question}` },
  ];
  const messages = [{ ...first!, content: `${surroundings(source, draft)}\n\n${first!.content}` }, ...turns];
  let right = 0;
  for (let seed = 0; seed < samples; seed++) {
    const said = await ask(examiner, messages, { temperature: seed === 0 ? 0 : 0.7, seed }, signal);
    if (said !== null && (await gradeOf(examiner, draft, said, signal)) >= knownFrom) right++;
  }
  const reason = `${right} of ${samples} answers agree with "${draft.answer.slice(0, 60)}"`;
  return { finding: 2 * right < samples ? { check: "consistency", reason } : null, rightShare: right / samples };
}

const around = 1500;

/** The beginnings of the sections that the evidence stands in, and what is near it. */
function surroundings({ text, sections }: ScrollSource, { evidence }: Draft): string {
  const windows = evidence
    .flatMap(({ start, end }) => {
      const section = sections.findLast((one) => one.start <= start);
      const heading = section ? [{ start: section.start, end: Math.min(section.end, section.start + 200) }] : [];
      return [...heading, { start: Math.max(0, start - around), end: Math.min(text.length, end + around) }];
    })
    .sort((a, b) => a.start - b.start);
  const joined: { start: number; end: number }[] = [];
  for (const one of windows) {
    const last = joined.at(-1);
    if (last && one.start <= last.end) last.end = Math.max(last.end, one.end);
    else joined.push({ ...one });
  }
  return joined.map(({ start, end }) => text.slice(start, end).toWellFormed()).join("\n…\n");
}

const answerTokens = 300;

/** Null where the model has no answer to this one request. */
async function ask(
  { client, model }: Examiner,
  messages: Draft["before"],
  { temperature, seed }: { temperature: number; seed: number },
  signal: AbortSignal | undefined,
): Promise<string | null> {
  try {
    const { answer } = await client.chat({ model, messages, max_tokens: answerTokens, temperature, seed }, signal);
    return answer.text;
  } catch (error) {
    if (!(error instanceof EndpointFailure) || error.kind === "fatal") throw error;
    return null;
  }
}

/** 0 to 1; a verdict that cannot be had is 0. */
async function gradeOf(
  { client, model }: Examiner,
  { check, question, answer, isSubjective }: Draft,
  said: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (check) return checkAnswer(check, said);
  const messages = judgeMessages({ question, answer: said, reference: answer, isSubjective });
  const request = { model, messages, max_tokens: verdictTokens, temperature: 0, seed: 0 };
  try {
    if (isSubjective) return (await client.chatJson(request, subjectiveVerdict, signal)).value.eval_score / 100;
    return Number((await client.chatJson(request, objectiveVerdict, signal)).value.eval_label === "Correct");
  } catch (error) {
    if (!(error instanceof EndpointFailure) || error.kind === "fatal") throw error;
    return 0;
  }
}
