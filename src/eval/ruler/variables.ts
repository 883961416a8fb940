/** Variable tracing: one value handed on from variable to variable, the assignments in order but far apart. */
import type { Draws } from "../../tasks/random.ts";
import type { Draft, DraftContext, HaystackLanguage, LongPrompt, RulerTask } from "./item.ts";
import { hide } from "./needles.ts";
import { noiseProse } from "./prose.ts";

const capitals = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];

export type Chain = { value: string; names: string[]; lines: string[] };

/** `hops` + 1 names of `letters` capitals each, none of them in `taken`, and the lines that hand the value on. */
export function drawChain(
  draws: Draws,
  { hops, letters, digits }: { hops: number; letters: number; digits: number },
  taken: ReadonlySet<string> = new Set(),
): Chain {
  const seen = new Set(taken);
  const names: string[] = [];
  while (names.length <= hops) {
    const name = Array.from({ length: letters }, () => draws.pick(capitals)).join("");
    if (seen.has(name)) continue;
    seen.add(name);
    names.push(name);
  }
  const value = String(draws.between(10 ** (digits - 1), 10 ** digits - 1));
  const lines = names.map((name, index) => `VAR ${name} = ${index === 0 ? value : `VAR ${names[index - 1]}`}`);
  return { value, names, lines };
}

const words: Record<
  HaystackLanguage,
  { start: string; question(value: string): string; answer(value: string, count: number): string }
> = {
  en: {
    start:
      "Follow the variables in the following text from one to the next: a variable can be given the value of another.",
    question: (value) => `Find all variables that have the value ${value} in the text above.`,
    answer: (value, count) =>
      ` By the assignments in the text above, ${count} variables have the value ${value}, they are:`,
  },
  zh: {
    start: "请在下面的文字里逐个追踪变量：一个变量可以得到另一个变量的值。",
    question: (value) => `请找出上文中值为${value}的所有变量。`,
    answer: (value, count) => `根据上文的赋值，有${count}个变量的值为${value}，它们是：`,
  },
};

export function tracingQuestion(
  language: HaystackLanguage,
  chain: Chain,
  haystack: string,
): Pick<LongPrompt, "input" | "answerPrefix"> {
  const { start, question, answer } = words[language];
  return {
    input: `${start}\n${haystack}\n${question(chain.value)}`,
    answerPrefix: answer(chain.value, chain.names.length),
  };
}

/** A solved one in front shows what is wanted. */
function example(draws: Draws, language: HaystackLanguage, hops: number): string {
  const { sentence, separator } = noiseProse(language);
  const chain = drawChain(draws, { hops, letters: 3, digits: 4 });
  const units = Array.from({ length: 10 }, (_, index) => sentence(index));
  const lines = hide(units, spread(draws, chain.lines));
  const { input, answerPrefix } = tracingQuestion(language, chain, lines.join(separator));
  return `${input}${answerPrefix} ${chain.names.join(" ")}\n\n`;
}

/** Each line at a place of its own, in their order. */
function spread(draws: Draws, lines: readonly string[]) {
  const depths = lines.map(() => draws.between(0, 9999) / 9999).sort((a, b) => a - b);
  return lines.map((text, index) => ({ text: `${text}.`, depth: depths[index]! }));
}

const hops = 4;

function draftsOfTracing({ draws, language }: DraftContext): [Draft, Draft] {
  const solved = example(draws, language, hops);
  const chain = drawChain(draws, { hops, letters: 5, digits: 5 });
  const hidden = spread(draws, chain.lines);
  const { sentence, separator } = noiseProse(language);
  const draft =
    (before: string) =>
    (units: number): LongPrompt => {
      const lines = hide(
        Array.from({ length: units }, (_, index) => sentence(index)),
        hidden,
      );
      const { input, answerPrefix } = tracingQuestion(language, chain, lines.join(separator));
      return { input: before + input, answerPrefix, answers: chain.names, depth: hidden[0]!.depth };
    };
  return [draft(solved), draft("")];
}

export const tracingTask: RulerTask = { name: "vt", answerTokens: 30, metric: "all", drafts: draftsOfTracing };
