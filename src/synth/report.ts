/** A run of synthesis in figures: what each step yields and why the rest is gone, what it cost, how varied it is, how far to trust it. */
import { below, streamKeys } from "../base/random.ts";
import type { InstructionCounts } from "./instruction-counts.ts";
import { meaningOf } from "./reasons.ts";
import { addCosts, type Cost, noCost, type SynthRecord, type SynthStep, synthSteps } from "./record.ts";
import { BiasCounter, type BiasReport } from "./report-bias.ts";
import { type DiversityReport, reportDiversity } from "./report-diversity.ts";
import { taskSeedPrefix } from "./steps/answer.ts";

export const synthReportFormat = "rookery-synth-report/1";

export type StepYield = { step: SynthStep; came: number; left: number; rejected: number; waiting: number };
export type ReasonCount = { step: SynthStep; reason: string; meaning: string; count: number; detail: string };
/** Targets are about what was drawn from seeds: tasks are counted beside them. */
export type ShareRow = Counts & { name: string; target: number | null };
type Counts = { made: number; kept: number; keptFromSeeds: number };
/** Characters from `from` up to twice as many. */
export type LengthBin = { from: number; kept: number; other: number };
export type SynthExample = {
  instruction: string;
  answer: string;
  domain: string;
  language: string;
  seed: string;
  models: string[];
  /** Null for what is kept. */
  fate: { step: string; reason: string; detail: string } | null;
};

export type SynthReport = {
  format: typeof synthReportFormat;
  name: string;
  records: number;
  kept: number;
  rejected: number;
  waiting: number;
  /** Of the instructions that were wanted from seeds; null where none were. */
  instructions: InstructionCounts | null;
  yields: StepYield[];
  reasons: ReasonCount[];
  /** Of requests that records stand for; `spent` is all that the run asked, failed and repeated requests too. */
  costByStep: { step: SynthStep; cost: Cost }[];
  costByModel: { model: string; cost: Cost }[];
  spent: Cost;
  instructionLengths: LengthBin[];
  answerLengths: LengthBin[];
  domains: ShareRow[];
  languages: ShareRow[];
  difficulties: ShareRow[];
  variants: ShareRow[];
  /** Of a sample of what is kept, and of everything that was made; null where there is nothing. */
  diversity: { kept: DiversityReport | null; made: DiversityReport | null };
  keptExamples: SynthExample[];
  rejectedExamples: SynthExample[];
  bias: BiasReport;
};

export type ReportSettings = {
  name: string;
  instructions: InstructionCounts | null;
  spent: Cost;
  targets: { domains: Record<string, number>; languages: Record<string, number> };
  seed: number;
};

const shareNames = ["domain", "language", "difficulty", "variant"] as const;
type ShareName = (typeof shareNames)[number];

const sampleSize = 2000;
const examplesKept = 12;
const examplesOfReason = 2;
const mostCharacters = 4000;

/** Reads the records once and holds samples of them, never the whole set. */
export async function reportSynthesis(
  records: AsyncIterable<SynthRecord>,
  settings: ReportSettings,
): Promise<SynthReport> {
  const counter = new RecordCounter(settings);
  for await (const record of records) counter.take(record);
  return counter.report();
}

/** Items each of which was as likely to be kept as any other (Vitter's algorithm R). */
class Reservoir<Item> {
  readonly items: Item[] = [];
  #seen = 0;
  readonly #size: number;
  readonly #keys: ReturnType<typeof streamKeys>;

  constructor(size: number, seed: number, name: string) {
    this.#size = size;
    this.#keys = streamKeys(seed, "report", name);
  }

  take(make: () => Item): void {
    const place = this.#seen < this.#size ? this.#seen : below(this.#seen + 1, this.#keys, this.#seen);
    if (place < this.#size) this.items[place] = make();
    this.#seen += 1;
  }
}

class RecordCounter {
  readonly #settings: ReportSettings;
  readonly #yields = new Map(synthSteps.map((step) => [step, { step, came: 0, left: 0, rejected: 0, waiting: 0 }]));
  readonly #reasons = new Map<string, Omit<ReasonCount, "meaning">>();
  readonly #costs = { step: new Map<SynthStep, Cost>(), model: new Map<string, Cost>() };
  readonly #rows: Record<ShareName, Map<string, Counts>> = {
    domain: new Map(),
    language: new Map(),
    difficulty: new Map(),
    variant: new Map(),
  };
  readonly #lengths = { instruction: new Map<number, LengthBin>(), answer: new Map<number, LengthBin>() };
  readonly #samples: Record<"kept" | "made", Reservoir<string>>;
  readonly #keptExamples: Reservoir<SynthExample>;
  readonly #rejectedExamples = new Map<string, Reservoir<SynthExample>>();
  readonly #bias = new BiasCounter();
  #waiting = 0;
  #kept = 0;
  #records = 0;

  constructor(settings: ReportSettings) {
    this.#settings = settings;
    const { seed } = settings;
    this.#samples = { kept: new Reservoir(sampleSize, seed, "kept"), made: new Reservoir(sampleSize, seed, "made") };
    this.#keptExamples = new Reservoir(examplesKept, seed, "kept examples");
  }

  take(record: SynthRecord): void {
    const isKept = record.kept !== undefined;
    this.#records += 1;
    if (isKept) this.#kept += 1;
    else if (!record.rejected) this.#waiting += 1;
    this.#takeYield(record);
    this.#takeCost(record);
    this.#bias.take(record);
    // What has no text was never made: its request failed.
    if (record.instruction === "") return;
    this.#samples.made.take(() => record.instruction);
    if (isKept) this.#samples.kept.take(() => record.instruction);
    for (const name of shareNames) {
      const row = this.#rows[name].get(record[name]) ?? { made: 0, kept: 0, keptFromSeeds: 0 };
      const [kept, isTask] = [isKept ? 1 : 0, record.seed.startsWith(taskSeedPrefix)];
      this.#rows[name].set(record[name], {
        made: row.made + 1,
        kept: row.kept + kept,
        keptFromSeeds: row.keptFromSeeds + (isTask ? 0 : kept),
      });
    }
    this.#takeLength("instruction", record.instruction, isKept);
    const answer = answerOf(record);
    if (answer) this.#takeLength("answer", answer.text, isKept);
    this.#takeExample(record);
  }

  #takeYield({ parentId, rejected, kept }: SynthRecord): void {
    const end = rejected?.step ?? "filter";
    const first: SynthStep = parentId === null ? "generate" : "evolve";
    const passed: SynthStep[] = [first, "answer", "filter"];
    for (const step of passed) {
      const counts = this.#yields.get(step)!;
      counts.came += 1;
      if (step !== end) {
        counts.left += 1;
        continue;
      }
      if (rejected) counts.rejected += 1;
      else if (kept === undefined) counts.waiting += 1;
      else counts.left += 1;
      break;
    }
    if (!rejected) return;
    const key = `${rejected.step}: ${rejected.reason}`;
    const { step, reason, detail } = rejected;
    const counted = this.#reasons.get(key) ?? { step, reason, count: 0, detail };
    this.#reasons.set(key, { ...counted, count: counted.count + 1 });
  }

  #takeCost(record: SynthRecord): void {
    const add = (step: SynthStep, model: string, cost: Cost) => {
      this.#costs.step.set(step, addCosts([this.#costs.step.get(step) ?? noCost, cost]));
      this.#costs.model.set(model, addCosts([this.#costs.model.get(model) ?? noCost, cost]));
    };
    add(record.parentId === null ? "generate" : "evolve", record.model, record.cost);
    for (const { model, cost } of record.answers) add("answer", model, cost);
    for (const { model, cost } of record.critiques ?? []) add("filter", model, cost);
  }

  #takeLength(what: "instruction" | "answer", text: string, isKept: boolean): void {
    const from = 2 ** Math.floor(Math.log2(Math.max(1, text.length)));
    const bin = this.#lengths[what].get(from) ?? { from, kept: 0, other: 0 };
    this.#lengths[what].set(from, { from, kept: bin.kept + (isKept ? 1 : 0), other: bin.other + (isKept ? 0 : 1) });
  }

  #takeExample(record: SynthRecord): void {
    const fate = record.rejected ?? (record.review ? { step: "review", ...record.review } : null);
    const make = (): SynthExample => ({
      instruction: record.instruction.slice(0, mostCharacters),
      answer: (answerOf(record)?.text ?? "").slice(0, mostCharacters),
      ...{ domain: record.domain, language: record.language, seed: record.seed },
      models: [...new Set([record.model, ...record.answers.map(({ model }) => model)])],
      fate: fate && { step: fate.step, reason: fate.reason, detail: fate.detail },
    });
    if (fate === null) {
      this.#keptExamples.take(make);
      return;
    }
    const key = `${fate.step}: ${fate.reason}`;
    const reservoir = this.#rejectedExamples.get(key) ?? new Reservoir(examplesOfReason, this.#settings.seed, key);
    this.#rejectedExamples.set(key, reservoir);
    reservoir.take(make);
  }

  report(): SynthReport {
    const { name, instructions, spent, targets, seed } = this.#settings;
    const rows = (what: ShareName, target?: Record<string, number>): ShareRow[] =>
      [...this.#rows[what]]
        .map(([of, counts]) => ({ name: of, ...counts, target: target?.[of] ?? null }))
        .sort((a, b) => b.made - a.made || (a.name < b.name ? -1 : 1));
    const bins = (of: Map<number, LengthBin>) => [...of.values()].sort((a, b) => a.from - b.from);
    const diversityOf = (texts: readonly string[]) => (texts.length === 0 ? null : reportDiversity(texts, seed));
    return {
      format: synthReportFormat,
      name,
      records: this.#records,
      kept: this.#kept,
      rejected: this.#records - this.#kept - this.#waiting,
      waiting: this.#waiting,
      instructions,
      yields: [...this.#yields.values()].filter(({ came }) => came > 0),
      reasons: [...this.#reasons.values()]
        .map((counted) => ({ ...counted, meaning: meaningOf(counted) }))
        .sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1)),
      costByStep: [...this.#costs.step].map(([step, cost]) => ({ step, cost })),
      costByModel: [...this.#costs.model].map(([model, cost]) => ({ model, cost })),
      spent,
      instructionLengths: bins(this.#lengths.instruction),
      answerLengths: bins(this.#lengths.answer),
      domains: rows("domain", targets.domains),
      languages: rows("language", targets.languages),
      difficulties: rows("difficulty"),
      variants: rows("variant"),
      diversity: { kept: diversityOf(this.#samples.kept.items), made: diversityOf(this.#samples.made.items) },
      keptExamples: this.#keptExamples.items,
      rejectedExamples: [...this.#rejectedExamples]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([, { items }]) => items),
      bias: this.#bias.report(),
    };
  }
}

/** The answer that a record is shown with: the kept one, the one in question, or the first. */
const answerOf = ({ answers, kept, review }: SynthRecord) => answers[kept ?? review?.answer ?? 0];
