/** The eight needle tasks of RULER: values hidden under names in a haystack, of noise, of prose, or of nothing but needles. */
import type { Draws } from "../../tasks/random.ts";
import type { Draft, DraftContext, HaystackLanguage, LongPrompt, RulerTask } from "./item.ts";
import { noiseProse } from "./prose.ts";
import { distinctNames } from "./vocabulary.ts";

/** What a needle's key or value is. */
export type NeedleKind = "words" | "numbers" | "uuids";

const kindNames: Record<HaystackLanguage, Record<NeedleKind, [one: string, many: string]>> = {
  en: { words: ["word", "words"], numbers: ["number", "numbers"], uuids: ["uuid", "uuids"] },
  zh: { words: ["词语", "词语"], numbers: ["数字", "数字"], uuids: ["编号", "编号"] },
};

/** Keys or values, each other than all before it. */
export class Needles {
  readonly #draws: Draws;
  readonly #name: () => string;
  readonly #seen = new Set<string>();

  constructor(draws: Draws, language: HaystackLanguage) {
    this.#draws = draws;
    this.#name = distinctNames(draws, language);
  }

  next(kind: NeedleKind): string {
    for (;;) {
      const text = this.#draw(kind);
      if (this.#seen.has(text)) continue;
      this.#seen.add(text);
      return text;
    }
  }

  #draw(kind: NeedleKind): string {
    if (kind === "numbers") return String(this.#draws.between(1_000_000, 9_999_999));
    if (kind === "uuids") return uuid(this.#draws);
    return this.#name();
  }
}

/** A random UUID (version 4). */
function uuid(draws: Draws): string {
  const part = (digits: number) =>
    draws
      .between(0, 16 ** digits - 1)
      .toString(16)
      .padStart(digits, "0");
  const variant = "89ab"[draws.between(0, 3)];
  return `${part(8)}-${part(4)}-4${part(3)}-${variant}${part(3)}-${part(8)}${part(4)}`;
}

export function needleSentence(language: HaystackLanguage, kind: NeedleKind, key: string, value: string): string {
  const [one, many] = kindNames[language][kind];
  return language === "en"
    ? `One of the special magic ${many} for ${key} is: ${value}.`
    : `“${key}”的特殊魔法${one}之一是：${value}。`;
}

const listed = (language: HaystackLanguage, names: readonly string[]) => {
  if (language === "zh") return names.map((name) => `“${name}”`).join("、");
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(", ")}, and ${names.at(-1)}`;
};

/** The question around a haystack, and the beginning of its answer. */
export function needleQuestion(
  language: HaystackLanguage,
  kind: NeedleKind,
  { haystack, keys, isOneValue }: { haystack: string; keys: readonly string[]; isOneValue: boolean },
): Pick<LongPrompt, "input" | "answerPrefix"> {
  const [one, many] = kindNames[language][kind];
  const asked = listed(language, keys);
  if (language === "zh") {
    const all = isOneValue ? "" : "所有";
    return {
      input: `下面的文字里藏着一些特殊的魔法${one}，请记住它们，之后会问到。\n${haystack}\n上文提到的${asked}的${all}特殊魔法${one}是什么？`,
      answerPrefix: `上文提到的${asked}的${all}特殊魔法${one}是`,
    };
  }
  const question = isOneValue
    ? `What is the special magic ${one} for ${asked} mentioned in the text above?`
    : `What are all the special magic ${many} for ${asked} mentioned in the text above?`;
  return {
    input: `Some special magic ${many} are hidden in the following text. Remember them: I will ask about them afterwards.\n${haystack}\n${question}`,
    answerPrefix: isOneValue
      ? ` The special magic ${one} for ${asked} mentioned in the text above is`
      : ` The special magic ${many} for ${asked} mentioned in the text above are`,
  };
}

/** The haystack's units with each hidden sentence put before the unit at its depth; hidden ones keep their order where depths are equal. */
export function hide(units: readonly string[], hidden: readonly { text: string; depth: number }[]): string[] {
  const result: string[] = [];
  const waiting = hidden
    .map(({ text, depth }) => ({ text, at: Math.round(depth * units.length) }))
    .sort((a, b) => a.at - b.at)
    .values();
  let next = waiting.next();
  for (let at = 0; at <= units.length; at++) {
    for (; !next.done && next.value.at <= at; next = waiting.next()) result.push(next.value.text);
    if (at < units.length) result.push(units[at]!);
  }
  return result;
}

/** RULER's depths: 40 evenly spaced ones, drawn without putting them back. */
const evenDepths = Array.from({ length: 40 }, (_, index) => index / 39);

type NeedleTask = {
  haystack: "noise" | "prose" | "needles";
  keys: NeedleKind;
  values: NeedleKind;
  /** Keys with a needle in the text, how many of them are asked for, and values of each. */
  numKeys: number;
  numQueries: number;
  numValues: number;
};

/** Short of room, the answer's beginning does not say the question again. */
const shortPrefix: Record<HaystackLanguage, string> = { en: " Answer:", zh: "答案：" };

function draftsOfNeedles(task: NeedleTask, context: DraftContext): [Draft, ...Draft[]] {
  const withShortPrefix =
    (draft: Draft): Draft =>
    (units) => ({ ...draft(units), answerPrefix: shortPrefix[context.language] });
  const whole = draftOfNeedles(task, context);
  const half = (count: number) => Math.ceil(count / 2);
  const { numKeys, numQueries, numValues } = task;
  const smaller = { ...task, numKeys: half(numKeys), numQueries: half(numQueries), numValues: half(numValues) };
  return [whole, withShortPrefix(whole), withShortPrefix(draftOfNeedles(smaller, context))];
}

function draftOfNeedles(task: NeedleTask, { draws, language, prose }: DraftContext): Draft {
  const needles = new Needles(draws, language);
  const keys = Array.from({ length: Math.max(task.numKeys, task.numQueries) }, () => needles.next(task.keys));
  const pairs = keys.flatMap((key) =>
    Array.from({ length: task.numValues }, () => ({ key, value: needles.next(task.values) })),
  );
  const asked = new Set(draws.sample(keys, task.numQueries));
  const depths = draws.sample(evenDepths, pairs.length);
  const hidden = pairs.map(({ key, value }, index) => ({
    isAsked: asked.has(key),
    value,
    text: needleSentence(language, task.values, key, value),
    depth: depths[index]!,
  }));
  const answers = hidden.filter(({ isAsked }) => isAsked).map(({ value }) => value);
  const depth = Math.min(...hidden.filter(({ isAsked }) => isAsked).map((one) => one.depth));
  const { separator, unit } = unitsOf(task, needles, language, prose);
  return (units: number): LongPrompt => {
    const text = hide(
      Array.from({ length: units }, (_, index) => unit(index)),
      hidden,
    );
    const question = { haystack: text.join(separator), keys: [...asked], isOneValue: answers.length === 1 };
    return { ...needleQuestion(language, task.values, question), answers, depth };
  };
}

function unitsOf(task: NeedleTask, needles: Needles, language: HaystackLanguage, prose: DraftContext["prose"]) {
  if (task.haystack === "prose") return { separator: prose.separator, unit: prose.sentence };
  if (task.haystack === "noise") {
    const { sentence, separator } = noiseProse(language);
    return { separator, unit: sentence };
  }
  const made: string[] = [];
  const unit = (index: number) => {
    while (made.length <= index) {
      made.push(needleSentence(language, task.values, needles.next(task.keys), needles.next(task.values)));
    }
    return made[index]!;
  };
  return { separator: "\n", unit };
}

const single = { keys: "words", values: "numbers", numKeys: 1, numQueries: 1, numValues: 1 } as const;

const kinds: Record<string, NeedleTask> = {
  niah_single_1: { ...single, haystack: "noise" },
  niah_single_2: { ...single, haystack: "prose" },
  niah_single_3: { ...single, haystack: "prose", values: "uuids" },
  niah_multikey_1: { ...single, haystack: "prose", numKeys: 4 },
  niah_multikey_2: { ...single, haystack: "needles" },
  niah_multikey_3: { ...single, haystack: "needles", keys: "uuids", values: "uuids" },
  niah_multivalue: { ...single, haystack: "prose", numValues: 4 },
  niah_multiquery: { ...single, haystack: "prose", numQueries: 4 },
};

export const needleTasks: readonly RulerTask[] = Object.entries(kinds).map(([name, task]) => ({
  name,
  answerTokens: 128,
  metric: "all",
  drafts: (context) => draftsOfNeedles(task, context),
}));
