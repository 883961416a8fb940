/**
 * Needle grids: what is hidden, by the length of the text and how deep in it (0: at its beginning, 1: at its end). All cells of a
 * grid have the same haystack from its beginning on, so that a prefix cache reads most of it once.
 */
import { Draws } from "../../tasks/random.ts";
import { type FittedPrompt, fitPrompt, type TokenCounter } from "./fit.ts";
import type { Draft, HaystackLanguage, LongPrompt, Prose } from "./item.ts";
import { hide, Needles, needleQuestion, needleSentence } from "./needles.ts";
import { generatedProse } from "./prose.ts";
import { drawChain, tracingQuestion } from "./variables.ts";

/**
 * single: one value under one name; multi: several values under one name, the first at the depth and the others behind it at even
 * distances; key-value: a text of nothing but names with values, of which the one at the depth is asked for; variables: a value
 * handed on from variable to variable, the first at the depth and the others behind it.
 */
export const needleKinds = ["single", "multi", "key-value", "variables"] as const;
export type NeedleKind = (typeof needleKinds)[number];

/** `depth` is 0 to 1. */
export type GridCell = { length: number; depth: number; sample: number };

export type GridSelection = {
  kind: NeedleKind;
  language: HaystackLanguage;
  seed: number;
  /** Values of a multi-needle question. */
  needles: number;
  /** Without one, sentences made up from the seed. */
  prose?: Prose | undefined;
};

const hops = 4;
/** Answers are short; they are given what a right one takes and a few words. */
const task = { answerTokens: 32, metric: "all" } as const;

export class NeedleGrid {
  readonly #selection: GridSelection;
  readonly #counter: TokenCounter;
  readonly #prose: Prose;
  readonly #guesses = new Map<number, number>();

  constructor(selection: GridSelection, counter: TokenCounter) {
    this.#selection = selection;
    this.#counter = counter;
    this.#prose = selection.prose ?? generatedProse(selection.language, selection.seed);
  }

  /** The same again for the same cell. @throws RookeryError INVALID_OPTION for a length that is too short. */
  async make(cell: GridCell): Promise<FittedPrompt> {
    const { length } = cell;
    const sizes = { length, firstGuess: this.#guesses.get(length) };
    const fitted = await fitPrompt(task, [this.#draft(cell)], sizes, this.#counter);
    this.#guesses.set(length, fitted.units);
    return fitted;
  }

  #draft(cell: GridCell): Draft {
    const { kind, language, seed } = this.#selection;
    const draws = new Draws(seed, "grid", kind, language, cell.length, Math.round(cell.depth * 1e6), cell.sample);
    if (kind === "key-value") return this.#keyValueDraft(cell);
    if (kind === "variables") return this.#variablesDraft(draws, cell);
    const needles = new Needles(draws, language);
    const key = needles.next("words");
    const answers = Array.from({ length: kind === "multi" ? this.#selection.needles : 1 }, () =>
      needles.next("numbers"),
    );
    const sentences = answers.map((value) => needleSentence(language, "numbers", key, value));
    return (units) => {
      const haystack = this.#hidden(sentences, cell, units);
      const question = { haystack, keys: [key], isOneValue: answers.length === 1 };
      return { ...needleQuestion(language, "numbers", question), answers, depth: cell.depth };
    };
  }

  #variablesDraft(draws: Draws, cell: GridCell): Draft {
    const chain = drawChain(draws, { hops, letters: 5, digits: 5 });
    const lines = chain.lines.map((line) => `${line}.`);
    return (units) => ({
      ...tracingQuestion(this.#selection.language, chain, this.#hidden(lines, cell, units)),
      answers: chain.names,
      depth: cell.depth,
    });
  }

  /** The list is the same for all lengths and depths: only the question differs. */
  #keyValueDraft({ depth, sample }: GridCell): Draft {
    const { language, seed } = this.#selection;
    const needles = new Needles(new Draws(seed, "pairs", language, sample), language);
    const pairs: { key: string; value: string; text: string }[] = [];
    return (units): LongPrompt => {
      while (pairs.length <= units) {
        const [key, value] = [needles.next("words"), needles.next("numbers")];
        pairs.push({ key, value, text: needleSentence(language, "numbers", key, value) });
      }
      const asked = pairs[Math.round(depth * units)]!;
      const haystack = pairs
        .slice(0, units + 1)
        .map(({ text }) => text)
        .join("\n");
      const question = { haystack, keys: [asked.key], isOneValue: true };
      return { ...needleQuestion(language, "numbers", question), answers: [asked.value], depth };
    };
  }

  #hidden(sentences: readonly string[], { depth }: GridCell, units: number): string {
    const { sentence, separator } = this.#prose;
    const hidden = sentences.map((text, index) => ({ text, depth: depth + ((1 - depth) * index) / sentences.length }));
    const haystack = Array.from({ length: units }, (_, index) => sentence(index));
    return hide(haystack, hidden).join(separator);
  }
}

/**
 * The cells in the order in which a prefix cache helps most: lengths rising, depths falling, since a text shares what stands before
 * its needle with the one before.
 */
export function gridCells(lengths: readonly number[], depths: readonly number[], samples: number): GridCell[] {
  return lengths
    .toSorted((a, b) => a - b)
    .flatMap((length) =>
      Array.from({ length: samples }, (_, sample) =>
        depths.toSorted((a, b) => b - a).map((depth) => ({ length, depth, sample })),
      ).flat(),
    );
}

/** `count` even depths from 0 to 1; of one, the middle. */
export function evenDepths(count: number): number[] {
  return count === 1 ? [0.5] : Array.from({ length: count }, (_, index) => index / (count - 1));
}

/** `count` even lengths up to `longest`. */
export function evenLengths(longest: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => Math.round((longest * (index + 1)) / count));
}
