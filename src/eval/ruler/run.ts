/** RULER's tasks put to a model, item by item. */
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import type { Jobs } from "../../jobs/jobs.ts";
import type { EvalModel } from "../model.ts";
import { answerPrompt, type PromptMode, promptCounter } from "./ask.ts";
import type { HaystackLanguage } from "./item.ts";
import { type RulerSummary, scoreAnswer, summarizeRuler } from "./score.ts";
import { RulerItems, type RulerSources, rulerTaskNamed } from "./tasks.ts";
import { runJobs } from "./work.ts";

export type RulerSettings = {
  /** What has to be the same when the work is gone on with. */
  modelName: string;
  tasks: readonly string[];
  lengths: readonly number[];
  languages: readonly HaystackLanguage[];
  /** Items of each task, language and length. */
  samples: number;
  seed: number;
  mode: PromptMode;
  concurrency: number;
  /** A length whose mean is above it counts as effective. */
  threshold: number;
};

type ItemName = { task: string; language: HaystackLanguage; length: number; index: number };

export type RulerAnswer = ItemName & {
  answers: readonly string[];
  said: string;
  /** 0 to 1. */
  score: number;
  /** Where the asked needle begins, 0 to 1; null for tasks over the whole text. */
  depth: number | null;
  /** Which of the task's drafts it was: 0 is RULER's. */
  variant: number;
  promptTokens: number;
  seconds: number;
};

export type RulerRun = {
  summaries: RulerSummary[];
  /** Tasks that do not fit a length, and why. */
  left: { task: string; language: string; length: number; reason: string }[];
};

const kind = "ruler item";
const keyOf = ({ task, language, length, index }: ItemName) => `${task}-${language}-${length}-${index}`;

/**
 * Asks for what has no answer yet in `jobs`; further tasks, lengths and items may be asked for later.
 * @param sources texts and questions of the user's own, with what tells whether they are the same again.
 * @throws RookeryError INVALID_OPTION for a length beyond the model, or other settings than before; what the model throws.
 */
export async function runRuler(
  model: EvalModel,
  settings: RulerSettings,
  { jobs, sources, sourceDigests }: { jobs: Jobs; sources: RulerSources; sourceDigests: Record<string, string> },
  context: CommandContext,
): Promise<RulerRun> {
  const { seed, mode, concurrency, modelName } = settings;
  checkLengths(model, settings.lengths);
  jobs.pin("settings", { model: modelName, seed, mode, ...sourceDigests });
  const names = namesOf(settings);
  jobs.add(names.map((payload) => ({ kind, key: keyOf(payload), payload })));
  const counter = await promptCounter(model, mode, context.signal);
  const makers = new Map<string, RulerItems>();
  const makerOf = ({ task, language, length }: ItemName): RulerItems => {
    const name = `${task} ${language} ${length}`;
    const known = makers.get(name);
    if (known) return known;
    const maker = new RulerItems(rulerTaskNamed(task), { seed, language, length, sources }, counter);
    makers.set(name, maker);
    return maker;
  };
  const work = { kind, what: "answering", unit: "items", concurrency };
  await runJobs(
    jobs,
    {
      ...work,
      async run(job, signal): Promise<RulerAnswer> {
        const name = job.payload as ItemName;
        const maker = makerOf(name);
        const item = await maker.make(name.index);
        const said = await answerPrompt(model, item, { mode, isAlone: false }, signal);
        const { answers, depth = null, variant } = item;
        const score = scoreAnswer(maker.task, answers, said.text);
        const { promptTokens, seconds } = said;
        return { ...name, answers, said: said.text, score, depth, variant, promptTokens, seconds };
      },
    },
    context,
  );
  return resultsOf(jobs, names, settings.threshold);
}

/** Short lengths first, all tasks of one before the next: the first figures come early. */
function namesOf({ tasks, lengths, languages, samples }: RulerSettings): ItemName[] {
  return lengths
    .toSorted((a, b) => a - b)
    .flatMap((length) =>
      languages.flatMap((language) =>
        tasks.flatMap((task) =>
          Array.from({ length: samples }, (_, index) => ({ task: rulerTaskNamed(task).name, language, length, index })),
        ),
      ),
    );
}

/** @throws RookeryError INVALID_OPTION for a length that the model cannot read. */
export function checkLengths(model: Pick<EvalModel, "name" | "maxLength">, lengths: readonly number[]): void {
  const longest = Math.max(...lengths);
  if (longest <= model.maxLength) return;
  throw new RookeryError(
    "INVALID_OPTION",
    `a length of ${longest} tokens is over the ${model.maxLength} that ${model.name} reads`,
    "give shorter lengths, or let the server read longer texts",
  );
}

/** What there is of what is asked for. */
function resultsOf(jobs: Jobs, names: readonly ItemName[], threshold: number): RulerRun {
  const answers: RulerAnswer[] = [];
  const left = new Map<string, RulerRun["left"][number]>();
  for (const name of names) {
    const { state, result, reason } = jobs.find(kind, keyOf(name))!;
    const { task, language, length } = name;
    if (state === "done") answers.push(result as RulerAnswer);
    else left.set(`${task} ${language} ${length}`, { task, language, length, reason: reason ?? "" });
  }
  return { summaries: summarizeRuler(answers, threshold), left: [...left.values()] };
}

/** Every answer that there is, in the order of their keys. */
export function* rulerAnswers(jobs: Jobs): Generator<RulerAnswer> {
  for (const { state, result } of jobs.listByKey(kind)) if (state === "done") yield result as RulerAnswer;
}
