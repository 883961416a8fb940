/** `rookery eval run`: questions from files, answers from a model, scores; each finished question is kept at once. */
import { createHash } from "node:crypto";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { checkName } from "../base/files.ts";
import { rookeryVersion } from "../base/version.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import { nameOfModel } from "../interop/folders.ts";
import type { Job, Jobs } from "../jobs/jobs.ts";
import { askItem, type ItemResult } from "./ask.ts";
import { locateData } from "./data/locate.ts";
import { openJudge } from "./judge.ts";
import type { EvalModel } from "./model.ts";
import { isUrl, openModel } from "./open-model.ts";
import { type EvalRunOptions, type EvalRunOptionsInput, evalRunOptionsSchema } from "./options.ts";
import { readTexts, scoreText, type TextItem, type TextResult, textFigures } from "./perplexity.ts";
import { openResults, type Results, saveResults } from "./results.ts";
import { type EvalSummary, evalFormat, type ItemRow, primaryOf, type ScoredItem, taskFigures } from "./summary.ts";
import { loadTask } from "./tasks/catalog.ts";
import type { Item, ScoreContext, TaskDefinition } from "./tasks/definition.ts";
import { makeItems } from "./tasks/items.ts";

export type EvalEnvironment = {
  /** Where the name of a run is looked up; by default `runs`. */
  runsFolder?: string | undefined;
  /** Of the server that is asked. */
  apiKey?: string | undefined;
  judgeApiKey?: string | undefined;
  /** Instead of opening what the options name. */
  opened?: EvalModel;
};

type Asked = { task: TaskDefinition; items: Item[] };

/** Kinds of jobs are tasks; a task cannot have this name. */
const textKind = "texts:";

/**
 * @returns the summary, which lies in the folder of the results, too, beside every item.
 * @throws RookeryError INVALID_OPTION, RUN_EXISTS, RUN_LOCKED, BAD_DATA and others naming a data file, ENDPOINT_FAILED for a server
 * that is gone (what is finished is kept); the signal's reason.
 */
export async function evaluate(
  given: EvalRunOptionsInput,
  environment: EvalEnvironment = {},
  context: CommandContext = {},
): Promise<EvalSummary> {
  const options = parseOptions(evalRunOptionsSchema, given);
  const startMs = performance.now();
  const names = [...new Set(options.tasks.flatMap((one) => one.split(",")).map((one) => one.trim()))].filter(Boolean);
  if (names.length === 0 && options.texts.length === 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      "there is nothing to ask",
      "name tasks with --tasks, or texts with --texts",
    );
  }
  // whatever is wrong with the data is said before a model is loaded
  const asked: Asked[] = [];
  for (const name of names) asked.push(await readTask(name, options, context));
  const texts = await readTexts(options.texts, options.limit);
  using results = openResults(nameOf(options), options);
  const { jobs } = results;
  addJobs(jobs, asked, texts, options);
  if (options.resume) for (const { task } of asked) jobs.retryFailed(task.name);
  const before = await run(options, environment, { asked, texts, results }, context);
  const summary: EvalSummary = {
    format: evalFormat,
    rookeryVersion,
    name: results.name,
    folder: results.folder,
    model: { name: before.name, maxLength: before.maxLength, cache: before.cache },
    options: {
      seed: options.seed,
      chat: options.mode === "chat",
      limit: options.limit ?? null,
      windowTokens: options.windowTokens ?? null,
      judge: options.judge ?? null,
    },
    tasks: asked.map(({ task, items }) => figuresOf(task, items, jobs, options)),
    texts: textsOf(jobs),
    cachedShare: before.cachedShare,
    seconds: (performance.now() - startMs) / 1000,
  };
  await saveResults(results, summary, rowsOf(asked, jobs));
  return summary;
}

async function readTask(name: string, options: EvalRunOptions, context: CommandContext): Promise<Asked> {
  const loaded = await loadTask(name);
  const files = await locateData(loaded, { dataFolder: options.data, download: options.download }, context);
  const { shots, limit, seed } = options;
  const isChat = options.mode === "chat";
  const { task } = loaded;
  if (task.kind === "generate" && options.judge === undefined && task.scorers.some((one) => one.name === "judge")) {
    throw new RookeryError("INVALID_OPTION", `task ${task.name} is scored by a judge`, "name one with --judge URL");
  }
  return { task, items: await makeItems(task, files, { shots, limit, seed, isChat }) };
}

function nameOf({ name, model, resume }: EvalRunOptions): string {
  if (name === undefined && resume) {
    throw new RookeryError("INVALID_OPTION", "--resume does not say what to go on with", "add --name");
  }
  const plain = (isUrl(model) ? new URL(model).host : nameOfModel(model)).replaceAll(/[^\w.-]/g, "-");
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const chosen = name ?? `${plain}-${time}`;
  checkName(chosen, "results");
  return chosen;
}

/** The questions of earlier runs stay what they were: another data file, number of shots or seed is another evaluation. */
function addJobs(jobs: Jobs, asked: readonly Asked[], texts: readonly TextItem[], options: EvalRunOptions): void {
  const { model, modelName, kvCacheDtype: cacheType, computeType, maxModelLen: maxLength } = options;
  jobs.pin("the model", { model, modelName, cacheType, computeType, maxLength });
  for (const { task, items } of asked) {
    jobs.pin(`the questions of ${task.name}`, digestOf(items.map(({ row: _, ...question }) => question)));
    jobs.add(items.map(({ key }) => ({ kind: task.name, key, payload: null })));
  }
  if (texts.length === 0) return;
  jobs.pin("the texts", { windowTokens: options.windowTokens, digest: digestOf(texts) });
  jobs.add(texts.map(({ key, domain }) => ({ kind: textKind, key, payload: { domain } })));
}

function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}

type Work = { asked: readonly Asked[]; texts: readonly TextItem[]; results: Results };
type Ran = Pick<EvalSummary["model"], "name" | "maxLength" | "cache"> & { cachedShare: number | null };

async function run(
  options: EvalRunOptions,
  environment: EvalEnvironment,
  { asked, texts, results }: Work,
  context: CommandContext,
): Promise<Ran> {
  const { jobs } = results;
  const kinds = [...asked.map(({ task }) => task.name), ...(texts.length > 0 ? [textKind] : [])];
  const ranBefore = jobs.getItem("ran") as Ran | undefined;
  if (ranBefore && kinds.every((kind) => jobs.counts(kind).pending === 0)) return ranBefore;
  const needsTokens = texts.length > 0 || asked.some(({ task }) => task.kind === "choice");
  const { runsFolder = "runs", apiKey } = environment;
  const model = environment.opened ?? (await openModel({ ...options, runsFolder, apiKey, needsTokens }, context));
  try {
    const { judge: url, judgeModel, concurrency, allowUncontainedCode: allowUncontained } = options;
    const judging = { url: url ?? "", model: judgeModel, apiKey: environment.judgeApiKey, concurrency };
    const judge = url === undefined ? undefined : await openJudge(judging, context.signal);
    for (const { task, items } of asked) {
      const byKey = new Map(items.map((item) => [item.key, item]));
      await workOff(
        jobs,
        task.name,
        { what: `asking ${task.title}`, unit: "questions" },
        model,
        context,
        (job, signal) => {
          const scoring: ScoreContext = { signal, allowUncontained, ...(judge ? { judge } : {}) };
          return askItem(task, byKey.get(job.key)!, model, options.seed, scoring);
        },
      );
    }
    const byKey = new Map(texts.map((item) => [item.key, item]));
    await workOff(jobs, textKind, { what: "reading texts", unit: "documents" }, model, context, (job, signal) =>
      scoreText(model, byKey.get(job.key)!, options.windowTokens, signal),
    );
    const prefix = await model.prefixStats();
    const cachedShare = prefix && prefix.promptTokens > 0 ? prefix.cachedTokens / prefix.promptTokens : null;
    const ran: Ran = { name: model.name, maxLength: model.maxLength, cache: model.cache ?? null, cachedShare };
    jobs.setItem("ran", ran);
    return ran;
  } finally {
    if (!environment.opened) await model.close();
  }
}

/** Does all pending jobs of a kind, several at once; the first that fails for good ends the others. */
async function workOff(
  jobs: Jobs,
  kind: string,
  { what, unit }: { what: string; unit: string },
  model: EvalModel,
  { signal, onEvent }: CommandContext,
  work: (job: Job, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const counts = jobs.counts(kind);
  const total = counts.pending + counts.running + counts.done + counts.failed;
  let done = total - counts.pending;
  if (counts.pending === 0) return;
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const worker = async (): Promise<void> => {
    for (let [job] = jobs.claim(kind); job; [job] = jobs.claim(kind)) {
      try {
        stopped.throwIfAborted();
        jobs.finish(job.id, await work(job, stopped));
      } catch (error) {
        if (!isAboutOne(error)) throw error;
        jobs.fail(job.id, error.message);
      }
      done += 1;
      onEvent?.({ type: "progress", what, done, total, unit });
    }
  };
  const workers = Array.from({ length: Math.min(model.concurrency, counts.pending) }, async () => {
    try {
      await worker();
    } catch (error) {
      if (!stop.signal.aborted) stop.abort(error);
      throw error;
    }
  });
  const outcomes = await Promise.allSettled(workers);
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Whether only this question cannot be answered. */
function isAboutOne(error: unknown): error is EndpointFailure {
  return error instanceof EndpointFailure && (error.kind === "refused" || error.kind === "malformed");
}

function figuresOf(task: TaskDefinition, items: readonly Item[], jobs: Jobs, options: EvalRunOptions) {
  const scored: ScoredItem[] = [];
  for (const { item, job } of answered(task, items, jobs)) {
    if (job.state === "done") scored.push({ part: item.part, result: job.result as ItemResult });
  }
  const shots = options.shots ?? task.shots.count;
  return taskFigures(task, scored, { shots, failed: jobs.counts(task.name).failed });
}

/** The jobs of a task in their order, with their items. */
function* answered(task: TaskDefinition, items: readonly Item[], jobs: Jobs): Generator<{ item: Item; job: Job }> {
  const byKey = new Map(items.map((item) => [item.key, item]));
  for (const job of jobs.list({ kind: task.name })) {
    const item = byKey.get(job.key);
    if (item) yield { item, job };
  }
}

function textsOf(jobs: Jobs): EvalSummary["texts"] {
  const results = [...jobs.list({ kind: textKind, state: "done" })];
  const byDomain = Map.groupBy(results, ({ payload }) => (payload as { domain: string }).domain);
  return [...byDomain].map(([domain, those]) =>
    textFigures(
      domain,
      those.map(({ result }) => result as TextResult),
    ),
  );
}

const shownCharacters = 1000;

function* rowsOf(asked: readonly Asked[], jobs: Jobs): Generator<ItemRow> {
  for (const { task, items } of asked) {
    const primary = primaryOf(task);
    for (const { item, job } of answered(task, items, jobs)) {
      const result = job.state === "done" ? (job.result as ItemResult) : undefined;
      yield {
        task: task.name,
        part: item.part,
        item: item.key,
        score: result?.scores[primary] ?? null,
        scores: JSON.stringify(result?.scores ?? {}),
        question: questionOf(item).slice(-shownCharacters),
        answer: result?.answer ?? "",
        reference: result?.reference ?? "",
        logprobs: result?.logprobs ? JSON.stringify(result.logprobs) : "",
        cut_tokens: result?.cutTokens ?? 0,
        failure: job.reason ?? "",
      };
    }
  }
}

function questionOf(item: Item): string {
  if (item.kind === "choice") return item.contexts[item.gold]!;
  return typeof item.prompt === "string" ? item.prompt : (item.prompt.at(-1)?.content ?? "");
}
