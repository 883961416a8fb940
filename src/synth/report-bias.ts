/**
 * How far agreement and the critic can be trusted, where the right answer is known: how often a consistent answer is wrong, by
 * domain and by model, how that moves with the number of samples, and what the critic adds.
 */
import { comparableOf, isSameAnswer } from "./filters/comparable.ts";
import { votesOf } from "./filters/consistency.ts";
import { faultOf } from "./filters/rules.ts";
import type { SynthAnswer, SynthRecord } from "./record.ts";

/** Answers that were agreed on, and how many of them are wrong. */
export type AgreedCounts = { agreed: number; wrong: number };

export type BiasReport = {
  /** Records with a known answer that got as far as the filters, and all their samples. */
  records: number;
  samples: number;
  wrongSamples: number;
  unusableSamples: number;
  /** Most samples of a record agree. */
  agreement: AgreedCounts;
  /** Every usable sample agrees: bias, where it is wrong, that no number of samples mends. */
  unanimity: AgreedCounts;
  byDomain: ({ domain: string } & AgreedCounts)[];
  /** Of each model's own samples. */
  byModel: ({ model: string; samples: number; wrongSamples: number } & AgreedCounts)[];
  /** From the first n samples of the records that have as many. */
  bySamples: ({ samples: number; records: number } & AgreedCounts)[];
  /** Critiques of right and of wrong answers by tier. */
  critic: { tier: number; right: number; wrong: number }[];
  /** Of the records whose samples had a right answer, how many are kept with one; repeated and contaminated ones do not count. */
  answerable: { records: number; keptRight: number };
  kept: { records: number; wrong: number };
};

type Sample = {
  answer: SynthAnswer;
  isRight: boolean;
  index: number;
  value: NonNullable<ReturnType<typeof comparableOf>>;
};

/** Reasons for which a record leaves the set whether its answer is right or not. */
const setReasons = new Set(["duplicate", "nearDuplicate", "contaminated"]);
const noCounts = (): AgreedCounts => ({ agreed: 0, wrong: 0 });

/** Takes the records of a run one by one. */
export class BiasCounter {
  readonly #sums = { records: 0, samples: 0, wrongSamples: 0, unusableSamples: 0 };
  readonly #agreement = noCounts();
  readonly #unanimity = noCounts();
  readonly #domains = new Map<string, AgreedCounts>();
  readonly #models = new Map<string, AgreedCounts & { samples: number; wrongSamples: number }>();
  readonly #bySamples: (AgreedCounts & { records: number })[] = [];
  readonly #tiers = new Map([1, 2, 3, 4].map((tier) => [tier, { right: 0, wrong: 0 }]));
  readonly #answerable = { records: 0, keptRight: 0 };
  readonly #kept = { records: 0, wrong: 0 };

  take(record: SynthRecord): void {
    const { truth, answerKind, instruction, answers, rejected } = record;
    if (truth === undefined || answerKind === "text" || answerKind === "code" || answers.length === 0) return;
    const right = comparableOf(answerKind, truth, instruction);
    if (right === undefined) return;
    const read = answers.map((answer, index): Sample | undefined => {
      const value = faultOf(answer, record) ? undefined : comparableOf(answerKind, answer.text, instruction);
      return value && { answer, index, value, isRight: isSameAnswer(value, right) };
    });
    const usable = read.filter((one) => one !== undefined);
    this.#sums.records += 1;
    this.#sums.samples += answers.length;
    this.#sums.unusableSamples += answers.length - usable.length;
    this.#sums.wrongSamples += usable.filter(({ isRight }) => !isRight).length;
    this.#takeAgreement(record.domain, usable);
    for (const [model, own] of Map.groupBy(usable, ({ answer }) => answer.model)) this.#takeModel(model, own);
    for (let count = 1; count <= answers.length; count++) this.#takeFirst(read.slice(0, count));
    for (const { answer, tier } of record.critiques ?? []) {
      const judged = read[answer];
      if (judged) this.#tiers.get(tier)![judged.isRight ? "right" : "wrong"] += 1;
    }
    const isKeptRight = record.kept !== undefined && read[record.kept]?.isRight === true;
    if (record.kept !== undefined) this.#kept.records += 1;
    if (record.kept !== undefined && !isKeptRight) this.#kept.wrong += 1;
    if (!usable.some(({ isRight }) => isRight) || setReasons.has(rejected?.reason ?? "")) return;
    this.#answerable.records += 1;
    if (isKeptRight) this.#answerable.keptRight += 1;
  }

  #takeAgreement(domain: string, usable: readonly Sample[]): void {
    const agreed = agreedOn(usable);
    if (agreed === undefined || usable.length < 2) return;
    const ofDomain = this.#domains.get(domain) ?? noCounts();
    this.#domains.set(domain, ofDomain);
    for (const counts of [this.#agreement, ofDomain]) count(counts, agreed.isRight);
    if (agreed.votes === usable.length) count(this.#unanimity, agreed.isRight);
  }

  #takeModel(model: string, own: readonly Sample[]): void {
    const counts = this.#models.get(model) ?? { ...noCounts(), samples: 0, wrongSamples: 0 };
    this.#models.set(model, counts);
    counts.samples += own.length;
    counts.wrongSamples += own.filter(({ isRight }) => !isRight).length;
    const agreed = own.length > 1 ? agreedOn(own) : undefined;
    if (agreed) count(counts, agreed.isRight);
  }

  #takeFirst(first: readonly (Sample | undefined)[]): void {
    const counts = this.#bySamples[first.length - 1] ?? { ...noCounts(), records: 0 };
    this.#bySamples[first.length - 1] = counts;
    counts.records += 1;
    const agreed = agreedOn(
      first.filter((one) => one !== undefined),
      first.length,
    );
    if (agreed) count(counts, agreed.isRight);
  }

  report(): BiasReport {
    const largestFirst = <Row extends AgreedCounts>(rows: Row[]) => rows.sort((a, b) => b.agreed - a.agreed);
    return {
      ...this.#sums,
      agreement: this.#agreement,
      unanimity: this.#unanimity,
      byDomain: largestFirst([...this.#domains].map(([domain, counts]) => ({ domain, ...counts }))),
      byModel: largestFirst([...this.#models].map(([model, counts]) => ({ model, ...counts }))),
      bySamples: this.#bySamples.map((counts, index) => ({ samples: index + 1, ...counts })),
      critic: [...this.#tiers].map(([tier, counts]) => ({ tier, ...counts })),
      answerable: this.#answerable,
      kept: this.#kept,
    };
  }
}

function count(counts: AgreedCounts, isRight: boolean): void {
  counts.agreed += 1;
  if (!isRight) counts.wrong += 1;
}

/** The answer that more than half of the usable samples give: at least two, where more than one was asked for. */
function agreedOn(usable: readonly Sample[], asked = usable.length): { isRight: boolean; votes: number } | undefined {
  const [first] = votesOf(usable);
  if (first === undefined) return undefined;
  const votes = first.samples.length;
  if (votes * 2 <= usable.length || votes < Math.min(2, asked)) return undefined;
  return { isRight: usable.find(({ index }) => index === first.samples[0]!.index)!.isRight, votes };
}
