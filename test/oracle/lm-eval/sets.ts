/**
 * Data sets in the published formats, made here: shaped like MMLU, HellaSwag, ARC, WinoGrande and GSM8K, with what their texts
 * have that is easily treated differently: spaces at ends and doubled, brackets, capitals, characters of several bytes.
 */
import fs from "node:fs";
import path from "node:path";
import { Draws } from "../../../src/tasks/random.ts";

const nouns = [
  "penguin",
  "harbor",
  "glacier",
  "lantern",
  "rock",
  "chick",
  "企鹅",
  "sea",
  "naïve café",
  "egg 🥚",
  "krill",
];
const verbs = ["counts", "carries", "watches", "hides", "warms", "loses", "follows"];
const ends = ["on the ice.", "before noon", "in the  cold sea.", "with 1,048 others.", "[title] Step one", "，很冷。"];

export const questionsEach = 200;
const shotRows = 30;

type Row = Record<string, unknown>;

function phrase(draws: Draws): string {
  return `the ${draws.pick(nouns)} ${draws.pick(verbs)} the ${draws.pick(nouns)} ${draws.pick(ends)}`;
}

const makers: Record<string, (draws: Draws) => Row> = {
  mmlu: (draws) => ({
    question: `${draws.between(0, 3) === 0 ? " " : ""}Which is true of ${phrase(draws)}?${draws.between(0, 4) === 0 ? "\n" : ""}`,
    choices: [phrase(draws), draws.pick(nouns), String(draws.between(0, 99)), phrase(draws)],
    answer: draws.between(0, 3),
  }),
  hellaswag: (draws) => ({
    activity_label: draws.pick(["Feeding penguins", "How to warm an egg", "Swimming"]),
    ctx_a: `${phrase(draws)}${draws.between(0, 2) === 0 ? " [substeps] Then" : ""}`,
    ctx_b: draws.between(0, 3) === 0 ? "" : `the ${draws.pick(["Emperor", "KING", "élan"])} ${draws.pick(verbs)}`,
    endings: Array.from({ length: 4 }, () => phrase(draws)),
    label: String(draws.between(0, 3)),
  }),
  arc_challenge: (draws) => {
    const count = draws.between(3, 5);
    const label = Array.from({ length: count }, (_, at) => (draws.between(0, 1) === 0 ? "ABCDE"[at]! : String(at + 1)));
    const text = Array.from({ length: count }, () => (draws.between(0, 2) === 0 ? draws.pick(nouns) : phrase(draws)));
    return {
      id: `q${draws.between(0, 1e6)}`,
      question: `Why is it that ${phrase(draws)}?`,
      choices: { text, label },
      answerKey: draws.pick(label),
    };
  },
  winogrande: (draws) => {
    const [option1, option2] = draws.sample(nouns, 2);
    return {
      sentence: `The ${draws.pick(nouns)} saw it because _ ${phrase(draws)} `,
      option1,
      option2,
      answer: draws.pick(["1", "2"]),
    };
  },
  gsm8k: (draws) => {
    const [a, b] = [draws.between(0, 9), draws.between(0, 9)];
    const sum = a + b;
    return {
      question: `A ${draws.pick(nouns)} has ${a} eggs and finds ${b} more. How many are there?`,
      answer: `It has ${a} + ${b} = <<${a}+${b}=${sum}>>${sum}.\n#### ${sum >= 10 ? `1,${String(sum).padStart(3, "0")}` : sum}`,
    };
  },
};

/** Which splits there are, and how many rows each. */
const splits: Record<string, Record<string, number>> = {
  mmlu: { test: questionsEach, dev: 5 },
  hellaswag: { validation: questionsEach, train: shotRows },
  arc_challenge: { test: questionsEach, train: shotRows },
  winogrande: { validation: questionsEach, train: shotRows },
  gsm8k: { test: questionsEach, train: shotRows },
};

/** Writes FOLDER/TASK/[PART-]SPLIT.jsonl. */
export function writeSets(folder: string): void {
  for (const [task, make] of Object.entries(makers)) {
    fs.mkdirSync(path.join(folder, task), { recursive: true });
    for (const [split, count] of Object.entries(splits[task]!)) {
      const rows = Array.from({ length: count }, (_, index) => make(new Draws(11, "oracle", task, split, index)));
      const name = task === "mmlu" ? `high_school_biology_${split}` : split;
      fs.writeFileSync(
        path.join(folder, task, `${name}.jsonl`),
        rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
      );
    }
  }
}
