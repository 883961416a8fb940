/** Tasks whose answer is written: mathematics, programs, and the house's own questions that can be checked. */
import { makeTasks, taskFamilies } from "../../tasks/generate.ts";
import { type Row, textOf } from "../data/rows.ts";
import type { GenerateTask } from "./definition.ts";
import { checkedAnswer, exactMatch, extractMatch, mathAnswer, passAtOne } from "./scorers.ts";

const gsm8kComparison = { ignoreCase: true, ignore: [/,/g, /\$/g, /.*#### /gs, /\.$/g] };

export const gsm8k: GenerateTask = {
  name: "gsm8k",
  title: "GSM8K",
  hub: "openai/gsm8k",
  kind: "generate",
  splits: { test: ["test"], shots: ["train"] },
  // the hub has the same problems once more as dialogues
  hasPart: (part) => part !== "socratic",
  shots: { count: 4, draw: "random" },
  prompt: (row) => `Question: ${textOf(row, "question")}\nAnswer:`,
  target: (row) => textOf(row, "answer"),
  references: (row) => [textOf(row, "answer")],
  stop: ["Question:", "</s>", "<|im_end|>"],
  maxTokens: 256,
  scorers: [
    exactMatch("strict-match", gsm8kComparison, extractMatch(/#### (-?[0-9.,]+)/, "first")),
    exactMatch("flexible-extract", gsm8kComparison, extractMatch(/(-?[$0-9.,]{2,})|(-?[0-9]+)/, "last")),
  ],
};

export const math: GenerateTask = {
  name: "math",
  title: "MATH",
  hub: "EleutherAI/hendrycks_math",
  kind: "generate",
  splits: { test: ["test"], shots: ["train"] },
  shots: { count: 4, draw: "random" },
  prompt: (row) => `Problem: ${textOf(row, "problem")}\nAnswer:`,
  target: (row) => textOf(row, "solution"),
  references: (row) => [textOf(row, "solution")],
  stop: ["Problem:"],
  maxTokens: 512,
  scorers: [mathAnswer],
};

export const humaneval: GenerateTask = {
  name: "humaneval",
  title: "HumanEval",
  hub: "openai/openai_humaneval",
  kind: "generate",
  splits: { test: ["test"] },
  shots: { count: 0, draw: "first" },
  prompt: (row) => textOf(row, "prompt"),
  target: (row) => textOf(row, "canonical_solution"),
  references: (row) => [textOf(row, "canonical_solution")],
  stop: ["\nclass", "\ndef", "\n#", "\nif", "\nprint"],
  maxTokens: 1024,
  scorers: [
    passAtOne(
      (answer, row) => textOf(row, "prompt") + answer,
      (row) => `${textOf(row, "test")}\ncheck(${textOf(row, "entry_point")})`,
    ),
  ],
};

const familyRows = (split: "train" | "test", seed: number, count: number, wantsUnseen: boolean): Row[] => {
  const families = taskFamilies().filter(({ isUnseen }) => split === "test" && wantsUnseen === isUnseen);
  const chosen = split === "train" ? taskFamilies().filter(({ isUnseen }) => !isUnseen) : families;
  return [
    ...makeTasks({
      families: chosen,
      languages: ["en", "zh"],
      split,
      count,
      seed,
      settings: { needleCharacters: 400 },
    }),
  ];
};

const mostMade = 1000;

const checkable = {
  kind: "generate",
  splits: { test: [] },
  shots: { count: 0, draw: "first" },
  prompt: (row: Row) => `Question: ${textOf(row, "question")}\nAnswer:`,
  target: (row: Row) => textOf(row, "answer"),
  references: (row: Row) => [textOf(row, "answer")],
  stop: ["\n"],
  maxTokens: 64,
  scorers: [checkedAnswer],
} as const;

/** What `rookery tasks generate` trains on, with questions that are never trained on. */
export const families: GenerateTask = {
  ...checkable,
  name: "families",
  title: "Checkable tasks",
  make: ({ seed, most }) => ({
    test: familyRows("test", seed, Math.min(most, mostMade), false),
    shots: familyRows("train", seed, 64, false),
  }),
};

export const unseenFamilies: GenerateTask = {
  ...checkable,
  name: "unseen_families",
  title: "Checkable tasks of families that nothing is trained on",
  make: ({ seed, most }) => ({
    test: familyRows("test", seed, Math.min(most, mostMade), true),
    shots: familyRows("train", seed, 64, true),
  }),
};
