/** One instruction into a better one: clearer, another of its kind, or harder. The old one goes on by itself. */
import { Draws } from "../../tasks/random.ts";
import type { SynthOptions } from "../options.ts";
import { answerWords } from "../prompts/answer.ts";
import {
  checkMessages,
  checkPromptVersion,
  checkSchema,
  checkTokens,
  type EvolveSubject,
  evolvedSchema,
  evolveMessages,
  evolvePromptVersion,
} from "../prompts/evolve.ts";
import { type Form, forms } from "../prompts/variants.ts";
import {
  addCosts,
  type Difficulty,
  difficulties,
  noCost,
  type Rejection,
  recordId,
  type SynthDirection,
  type SynthRecord,
} from "../record.ts";
import { requestSeed } from "../roles.ts";
import { instructionFault } from "./instruction-rules.ts";
import { similarity } from "./similarity.ts";
import { askJson, rejectionOf, type StepContext } from "./step.ts";

/** Above it, nothing has changed but a word or a sign. */
const unchangedFrom = 0.9;
/** A new instruction that is so near to one that was shown is no new one. */
const copiedFrom = 0.75;

/** Which instructions evolve, and how: fixed by the record's id. Undefined for those that stay as they are. */
export function directionOf(
  record: SynthRecord,
  round: number,
  options: SynthOptions,
  scarce: readonly string[],
): SynthDirection | undefined {
  const { share, directions, lowResource } = options.evolve;
  // a question with a known answer would lose it, and a passage belongs to its question
  if (record.truth !== undefined || hasPassage(record)) return undefined;
  const draws = new Draws(options.seed, "evolve", record.id, round);
  if (round === 0 && draws.between(0, 999_999) >= share * 1e6) return undefined;
  const isScarce = scarce.includes(record.domain) || lowResource.includes(record.domain);
  if (isScarce && round === 0 && directions.includes("expand")) return "expand";
  const others = directions.filter((direction) => direction !== "expand");
  return others.length > 0 ? draws.pick(others) : isScarce ? undefined : draws.pick(directions);
}

function hasPassage({ variant }: SynthRecord): boolean {
  return (forms as Record<string, Form>)[variant.split("/")[0]!]?.hasPassage ?? false;
}

/** The evolved record, rejected or not. @param round counts how often its line has evolved before. */
export async function evolve(
  record: SynthRecord,
  direction: SynthDirection,
  round: number,
  siblings: readonly string[],
  context: StepContext,
): Promise<SynthRecord> {
  const { options, roles, signal } = context;
  const evolver = roles.evolver!;
  const { domain, language, answerKind } = record;
  const subject: EvolveSubject = {
    ...{ direction, instruction: record.instruction, siblings, domain, language, answer: answerWords[answerKind] },
  };
  const base: SynthRecord = {
    ...{ ...record, id: recordId("evolve", record.id, round), parentId: record.id, step: "evolve", instruction: "" },
    ...{ variant: direction, difficulty: direction === "harder" ? harderThan(record.difficulty) : record.difficulty },
    ...{ promptVersion: evolvePromptVersion, model: evolver.model, requestHash: "", cost: noCost },
  };
  const seedOf = (what: string) => requestSeed(options.seed, what, record.id, round);
  const { maxTokens, temperature } = options.evolve;
  try {
    const asked = { messages: evolveMessages(subject), schema: evolvedSchema, maxTokens, temperature };
    const { value, from } = await askJson(evolver, { ...asked, seed: seedOf("evolve") }, signal);
    const evolved: SynthRecord = { ...base, ...from, instruction: value.instruction.trim() };
    const fault =
      instructionFault(evolved.instruction, { language, hasPassage: false }, "evolve") ??
      unchanged(subject, evolved.instruction);
    if (fault) return { ...evolved, rejected: fault };
    const check = {
      messages: checkMessages(subject, evolved.instruction),
      schema: checkSchema,
      maxTokens: checkTokens,
    };
    const verdict = await askJson(roles.critic ?? evolver, { ...check, temperature: 0, seed: seedOf("check") }, signal);
    const { keepsTask, isAnswerable, comment } = verdict.value;
    const checked: SynthRecord = {
      ...evolved,
      promptVersion: `${evolvePromptVersion} ${checkPromptVersion}`,
      cost: addCosts([from.cost, verdict.from.cost]),
    };
    if (!keepsTask) return { ...checked, rejected: { step: "evolve", reason: "lost-task", detail: comment } };
    if (!isAnswerable) return { ...checked, rejected: { step: "evolve", reason: "unanswerable", detail: comment } };
    return checked;
  } catch (error) {
    return { ...base, rejected: rejectionOf(error, "evolve") };
  }
}

function unchanged({ direction, instruction, siblings }: EvolveSubject, evolved: string): Rejection | undefined {
  const [shown, limit] =
    direction === "expand" ? [[instruction, ...siblings], copiedFrom] : [[instruction], unchangedFrom];
  const most = Math.max(...shown.map((one) => similarity(one, evolved)));
  if (most < limit) return undefined;
  return { step: "evolve", reason: "unchanged", detail: `${Math.round(100 * most)}% of it was there before` };
}

function harderThan(difficulty: Difficulty): Difficulty {
  return difficulties[Math.min(difficulties.indexOf(difficulty) + 1, difficulties.length - 1)]!;
}
