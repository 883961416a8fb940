/** From seeds to the first jobs: read once, named by domain, and drawn so that the mixture is what was wanted. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import type { Jobs, NewJob } from "../jobs/jobs.ts";
import { familiesNamed, makeTasks, taskFamilies } from "../tasks/generate.ts";
import type { Task } from "../tasks/task.ts";
import { type Cell, type MixturePlan, planMixture } from "./mixture.ts";
import { anyDomain, type SynthOptions } from "./options.ts";
import { answerJob, drawKey, seedKey, taskKey } from "./pipeline.ts";
import { noCost, recordId, type SynthRecord } from "./record.ts";
import { RunStore } from "./run-store.ts";
import { kindOfAnswer, readSeeds, type Seed } from "./seeds.ts";
import { taskSeedPrefix } from "./steps/answer.ts";
import { label } from "./steps/generate.ts";
import type { StepContext } from "./steps/step.ts";

export type Plan = Omit<MixturePlan, "draws">;

const planItem = "plan";
const seedsItem = "seeds read";
/** Few enough to be gone before the collector takes them for what stays. */
const addedAtOnce = 100;

/** Undefined until the first jobs are there. */
export const readPlan = (jobs: Jobs): Plan | undefined => jobs.getItem(planItem) as Plan | undefined;

/** Whether a run that ended with `error` holds nothing to go on with: neither answers, nor seeds that were read for a server that failed. */
export function hasMadeNothing(jobs: Jobs, error: unknown): boolean {
  const hasSeeds = jobs.getItem(seedsItem) !== undefined && error instanceof EndpointFailure;
  const { promptTokens, answerTokens } = new RunStore(jobs).spent;
  return readPlan(jobs) === undefined && !hasSeeds && promptTokens + answerTokens === 0;
}

/** Does what has not been done yet of: reading the seeds, naming their domains, drawing, making the tasks. */
export async function prepareJobs(
  store: RunStore,
  context: StepContext,
  concurrency: number,
  { signal, onEvent }: CommandContext,
): Promise<Plan> {
  const { jobs } = store;
  const kept = readPlan(jobs);
  if (kept !== undefined) return kept;
  const { options } = context;
  refuseWhatCannotWork(context);
  if (options.records > 0 && jobs.getItem(seedsItem) === undefined) await addSeeds(store, options, { signal, onEvent });
  await labelSeeds(store, context, concurrency, onEvent);
  const { draws, ...plan } = planDraws(store, options);
  if (plan.scarce.length > 0) {
    onEvent?.({
      type: "note",
      message: `few seeds for ${plan.scarce.join(", ")}: they are taken several times, and expanded`,
    });
  }
  addInParts(store, taskJobs(options), signal);
  jobs.atomically(() => {
    jobs.add(drawJobs(draws));
    jobs.setItem(planItem, plan);
  });
  return plan;
}

function* drawJobs(draws: MixturePlan["draws"]): Generator<NewJob> {
  let number = 0;
  for (const draw of draws) yield { kind: "generate", key: drawKey(number++), payload: draw };
}

function addInParts({ jobs }: RunStore, all: Iterable<NewJob>, signal: AbortSignal | undefined): void {
  let some: NewJob[] = [];
  for (const job of all) {
    some.push(job);
    if (some.length < addedAtOnce) continue;
    signal?.throwIfAborted();
    jobs.add(some);
    some = [];
  }
  jobs.add(some);
}

function refuseWhatCannotWork({ options, roles }: StepContext): void {
  const { records, seeds, tasks } = options;
  const refuse = (what: string, hint: string) => {
    throw new RookeryError("INVALID_OPTION", what, hint);
  };
  const wantsSeeds = records > 0 && (seeds.length > 0 || tasks.records === 0);
  if (wantsSeeds && seeds.length === 0) refuse("there are no seeds", "give seeds: [{path: …}], or tasks: {records: …}");
  if (wantsSeeds && seeds.some(({ kind }) => kind === "documents") && !roles.generator) {
    refuse("no endpoint has the role of the generator", "name one as roles.generator");
  }
  const isAsked = wantsSeeds || (tasks.records > 0 && tasks.answeredBy === "models");
  if (isAsked && !roles.hasAnswerers) refuse("no endpoint has the role of an answerer", "name one in roles.answerers");
  const isAnyDomain = seeds.some(({ domain }) => domain === anyDomain);
  if (isAnyDomain && Object.keys(options.mixture.domains ?? {}).length === 0) {
    refuse(`a seed's domain is "${anyDomain}", and mixture.domains names none`, "name the domains there, with weights");
  }
  if (isAnyDomain && !roles.generator) refuse("nobody can name domains", "name an endpoint as roles.generator");
}

async function addSeeds({ jobs }: RunStore, options: SynthOptions, context: CommandContext): Promise<void> {
  const { passageCharacters } = options.generate;
  let number = 0;
  let some: NewJob[] = [];
  for await (const seed of readSeeds({ sources: options.seeds, passageCharacters }, context)) {
    const key = seedKey(number++);
    some.push({ kind: "seed", key, payload: seed });
    if (seed.domain === undefined) some.push({ kind: "label", key, payload: null });
    if (some.length < addedAtOnce) continue;
    jobs.add(some);
    some = [];
  }
  jobs.add(some);
  if (number === 0 && options.seeds.length > 0) {
    throw new RookeryError("BAD_DATA", "no seed can be used", "give documents with some sentences of text");
  }
  jobs.setItem(seedsItem, number);
}

async function labelSeeds(
  { jobs }: RunStore,
  context: StepContext,
  concurrency: number,
  onEvent: CommandContext["onEvent"],
): Promise<void> {
  const domains = Object.keys(context.options.mixture.domains ?? {});
  const counts = jobs.counts("label");
  let { done } = counts;
  const total = done + counts.pending;
  for (;;) {
    const claimed = jobs.claim("label", concurrency);
    if (claimed.length === 0) return;
    const work = claimed.map(async ({ id, key }) => {
      const seed = jobs.find("seed", key)!.payload as Seed;
      jobs.finish(id, await label(key, seed, domains as [string, ...string[]], context));
      done += 1;
      onEvent?.({ type: "progress", what: "naming domains", done, total, unit: "seeds" });
    });
    const failed = (await Promise.allSettled(work)).find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
  }
}

function planDraws({ jobs }: RunStore, options: SynthOptions): MixturePlan {
  const cells = new Map<string, Cell & { seeds: number[] }>();
  const questions = new Uint8Array(jobs.counts("seed").pending);
  let number = 0;
  for (const { key, payload } of jobs.listByKey("seed")) {
    const { domain: named, language, kind } = payload as Seed;
    const domain = named ?? (jobs.find("label", key)!.result as { domain: string }).domain;
    const cellKey = JSON.stringify([domain, language]);
    const cell = cells.get(cellKey) ?? { domain, language, seeds: [] };
    cell.seeds.push(number);
    if (kind === "question") questions[number] = 1;
    cells.set(cellKey, cell);
    number += 1;
  }
  if (number === 0) return { draws: [], domains: {}, languages: {}, scarce: [] };
  const isQuestion = (seed: number) => questions[seed] === 1;
  const amounts = { count: options.records, perDraw: options.generate.perRequest, isQuestion };
  const { domains, languages } = options.mixture;
  const found = new Set([...cells.values()].map(({ domain }) => domain));
  // where a model has named the domains, there may be none of one
  const isNamedByModel = options.seeds.some((source) => source.domain === anyDomain);
  const met = isNamedByModel && domains ? Object.entries(domains).filter(([name]) => found.has(name)) : undefined;
  const wanted = { domains: met ? Object.fromEntries(met) : domains, languages };
  return planMixture([...cells.values()], wanted, amounts, options.seed);
}

/** Tasks that can be checked come with their answer, and begin at the third step. */
function* taskJobs({ tasks, seed }: SynthOptions): Generator<NewJob> {
  if (tasks.records === 0) return;
  const all = taskFamilies();
  const families = (tasks.families ? familiesNamed(all, tasks.families) : all).filter(({ isUnseen }) => !isUnseen);
  const selection = {
    ...{ families, languages: tasks.languages, split: "train" as const, count: tasks.records, seed },
    settings: { needleCharacters: tasks.needleCharacters },
  };
  let number = 0;
  for (const task of makeTasks(selection)) {
    const key = taskKey(number++);
    yield answerJob(key, taskRecord(task));
  }
}

function taskRecord(task: Task): SynthRecord {
  const seed = `${taskSeedPrefix}${task.id}`;
  return {
    ...{ id: recordId("generate", seed, 0), parentId: null, seed, step: "generate" },
    ...{
      domain: task.family,
      language: task.language,
      instruction: task.question,
      variant: "task",
      difficulty: "medium",
    },
    ...{ answerKind: kindOfAnswer(task.answer), truth: task.answer, answers: [] },
    ...{ model: "verifier", promptVersion: "task/1", requestHash: "", cost: noCost },
  };
}
