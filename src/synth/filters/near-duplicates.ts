/** Instructions that have come before, word for word or nearly; and long answers that have. */
import { fmix32 } from "../../base/random.ts";
import type { SynthRecord } from "../record.ts";
import { comparableOf } from "./comparable.ts";
import { FirstTexts } from "./first-texts.ts";
import { MinHashIndex, type Sketch, sketchOf } from "./minhash.ts";
import type { Fault } from "./rules.ts";
import { gramHashes, textHash, tokensOf } from "./shingles.ts";

const sizes = { words: 2, characters: 2 };
/** Tokens from which an answer is a text of its own, which two records should not share. */
const longAnswerTokens = 64;
/** Tokens up to which a number is what an instruction is about. */
const shortInstructionTokens = 64;

/** What is compared of a record: its instruction, and the answer that is kept. */
export type DuplicateSubject = Pick<SynthRecord, "id" | "instruction" | "answerKind"> & {
  answers: readonly { text: string }[];
};

/** Takes records one after the other, the kept answer alone in each, and says which repeat an earlier one. What it knows is on disk. */
export class NearDuplicates implements Disposable {
  readonly #threshold: number;
  readonly #files = new DisposableStack();
  readonly #records: FirstTexts;
  readonly #instructions: MinHashIndex;
  readonly #answers: MinHashIndex;

  /**
   * @param folder where there is room for 280 bytes a record, 500 with a long answer, until this is disposed.
   * @throws RookeryError FILE_UNWRITABLE.
   */
  constructor(threshold: number, folder: string) {
    this.#threshold = threshold;
    this.#records = this.#files.use(new FirstTexts(folder));
    this.#instructions = this.#files.use(new MinHashIndex(folder));
    this.#answers = this.#files.use(new MinHashIndex(folder));
  }

  /** What the record repeats; undefined for what is new, which later ones are then compared with. */
  take(record: DuplicateSubject): Fault | undefined {
    const hash = textHash(record.instruction);
    const earlier = this.#records.find(hash);
    if (earlier !== undefined) return { reason: "duplicate", detail: `the instruction of ${earlier}` };
    const instruction = sketched(tokensOf(record.instruction), guardOf(record));
    const answerTokens = tokensOf(record.answers[0]?.text ?? "");
    const answer = answerTokens.length < longAnswerTokens ? undefined : sketched(answerTokens, 0);
    this.#instructions.countGrams(instruction.sketch);
    const fault =
      this.#like("instruction", this.#instructions, instruction) ??
      (answer && this.#like("answer", this.#answers, answer));
    if (fault) return fault;
    const number = this.#records.add(hash, record.id);
    this.#instructions.add(number, instruction.sketch, instruction.guard);
    if (answer) this.#answers.add(number, answer.sketch, answer.guard);
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#files.dispose();
  }

  #like(what: string, index: MinHashIndex, { sketch, guard }: Sketched): Fault | undefined {
    if (this.#threshold >= 1) return undefined;
    const found = index.find(sketch, guard, this.#threshold);
    if (!found) return undefined;
    const share = Math.round(100 * found.similarity);
    return { reason: "nearDuplicate", detail: `the ${what} is ${share}% that of ${this.#records.idOf(found.name)}` };
  }
}

type Sketched = { sketch: Sketch; guard: number };

const sketched = (tokens: string[], guard: number): Sketched => ({
  sketch: sketchOf(numbered(gramHashes(tokens, sizes))),
  guard: guard >>> 0,
});

/** A gram that comes again is another one: how often something stands in a list may be what is asked. */
function numbered(grams: Uint32Array): Uint32Array {
  const times = new Map<number, number>();
  return grams.map((gram) => {
    const time = times.get(gram) ?? 0;
    times.set(gram, time + 1);
    return time === 0 ? gram : fmix32(gram + time);
  });
}

/**
 * What must be the same for two instructions to be one: "Spell apple backwards" and "Spell maple backwards" are alike and ask for
 * different things. The answer, where it is objective, and the numbers of a short instruction.
 */
function guardOf({ instruction, answerKind, answers }: DuplicateSubject): number {
  const text = answers[0]?.text ?? "";
  const isObjective = answerKind !== "text" && answerKind !== "code";
  const answer = isObjective ? (comparableOf(answerKind, text, instruction)?.key ?? text) : "";
  const isShort = tokensOf(instruction).length <= shortInstructionTokens;
  const numbers = isShort ? (instruction.match(/\d+(?:\.\d+)?/g) ?? []) : [];
  return textHash([answer, ...numbers].join(" | "));
}
