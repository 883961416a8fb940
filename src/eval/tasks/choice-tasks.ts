/** The multiple-choice tasks of the report's tables: questions as lm-eval puts them, shots as the report counts them. */
import { indexOf, type Row, textOf, textsOf, wrongColumn } from "../data/rows.ts";
import type { ChoiceTask } from "./definition.ts";
import { cevalNames, cmmluNames, mmluGroup } from "./subjects.ts";

const letters = ["A", "B", "C", "D"] as const;

/** Choices in a list (the hub's MMLU), or in columns of their letters (CSV files). */
function fourChoices(row: Row): string[] {
  return row.choices === undefined ? letters.map((letter) => textOf(row, letter)) : textsOf(row, "choices");
}

/** A number, or a letter. */
function letterGold(row: Row, column: string): number {
  const value = row[column];
  const index = typeof value === "string" ? (letters as readonly string[]).indexOf(value.trim()) : -1;
  return index >= 0 ? index : indexOf(row, column);
}

const lettered = (row: Row) =>
  fourChoices(row)
    .map((choice, at) => `${letters[at]}. ${choice}\n`)
    .join("");

export const mmlu: ChoiceTask = {
  name: "mmlu",
  title: "MMLU",
  hub: "cais/mmlu",
  kind: "choice",
  splits: { test: ["test"], shots: ["dev"] },
  // the hub has all subjects once more in these
  hasPart: (part) => !["all", "auxiliary_train", "auxiliary"].includes(part),
  headless: ["question", "A", "B", "C", "D", "answer"],
  shots: { count: 5, draw: "first" },
  description: (part) =>
    `The following are multiple choice questions (with answers) about ${part.replaceAll("_", " ")}.\n\n`,
  groupOf: mmluGroup,
  contexts: (row) => `${textOf(row, "question").trim()}\n${lettered(row)}Answer:`,
  choices: () => letters,
  gold: (row) => letterGold(row, "answer"),
  primary: "acc",
};

/** What the two Chinese collections have in common. */
const chinese = {
  kind: "choice",
  splits: { test: ["test"], shots: ["dev"] },
  shots: { count: 5, draw: "first" },
  choices: () => letters,
  primary: "acc",
} as const;

export const cmmlu: ChoiceTask = {
  ...chinese,
  name: "cmmlu",
  title: "CMMLU",
  hub: "haonan-li/cmmlu",
  description: (part) => `以下是关于${cmmluNames[part] ?? part}的单项选择题，请直接给出正确答案的选项。\n\n`,
  contexts: (row) => `${textOf(row, "Question").trim()}\n${lettered(row)}答案：`,
  gold: (row) => letterGold(row, "Answer"),
};

export const ceval: ChoiceTask = {
  ...chinese,
  name: "ceval",
  title: "C-Eval",
  hub: "ceval/ceval-exam",
  // the answers of the test split are not published
  splits: { test: ["val", "validation"], shots: ["dev"] },
  description: (part) => `以下是中国关于${cevalNames[part] ?? part}的单项选择题，请选出其中的正确答案。\n\n`,
  contexts: (row) => `${textOf(row, "question").trim()}\n${lettered(row)}答案：`,
  gold: (row) => letterGold(row, "answer"),
};

/** Brackets and headings are left over from the articles that some of the texts come from. */
function cleanHellaswag(text: string): string {
  return text
    .trim()
    .replaceAll(" [title]", ". ")
    .replace(/\[.*?\]/g, "")
    .replaceAll("  ", " ");
}

function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
}

export const hellaswag: ChoiceTask = {
  name: "hellaswag",
  title: "HellaSwag",
  hub: "Rowan/hellaswag",
  kind: "choice",
  splits: { test: ["validation", "val"], shots: ["train"] },
  shots: { count: 10, draw: "random", hasSpare: true },
  contexts: (row) =>
    cleanHellaswag(`${textOf(row, "activity_label")}: ${textOf(row, "ctx_a")} ${capitalize(textOf(row, "ctx_b"))}`),
  choices: (row) => textsOf(row, "endings").map(cleanHellaswag),
  gold: (row) => indexOf(row, "label"),
  primary: "acc_norm",
};

/** The hub's columns from those of the archive that AI2 publishes. */
function arcRow(row: Row): Row[] {
  const { question } = row as { question?: { stem?: unknown; choices?: { text: string; label: string }[] } };
  if (typeof question !== "object" || !Array.isArray(question.choices)) return [row];
  const choices = {
    text: question.choices.map(({ text }) => text),
    label: question.choices.map(({ label }) => label),
  };
  return [{ ...row, question: question.stem, choices }];
}

function arcChoices(row: Row): { text: string[]; label: string[] } {
  const { choices } = row;
  if (typeof choices !== "object" || choices === null) throw wrongColumn(row, "choices", "a record of text and label");
  return { text: textsOf(choices as Row, "text"), label: textsOf(choices as Row, "label") };
}

const arc = {
  hub: "allenai/ai2_arc",
  kind: "choice",
  splits: { test: ["test"], shots: ["train"] },
  prepare: arcRow,
  contexts: (row: Row) => `Question: ${textOf(row, "question")}\nAnswer:`,
  choices: (row: Row) => arcChoices(row).text,
  gold: (row: Row) => arcChoices(row).label.indexOf(textOf(row, "answerKey")),
  primary: "acc_norm",
} as const;

export const arcEasy: ChoiceTask = {
  ...arc,
  name: "arc_easy",
  title: "ARC, easy",
  hasPart: (part) => part === "" || /easy/i.test(part),
  shots: { count: 0, draw: "random" },
};

export const arcChallenge: ChoiceTask = {
  ...arc,
  name: "arc_challenge",
  title: "ARC, challenge",
  hasPart: (part) => part === "" || /challenge/i.test(part),
  shots: { count: 25, draw: "random" },
};

export const winogrande: ChoiceTask = {
  name: "winogrande",
  title: "WinoGrande",
  hub: "allenai/winogrande",
  kind: "choice",
  splits: { test: ["validation", "dev"], shots: ["train"] },
  hasPart: (part) => part === "" || part === "xl" || part === "winogrande_xl" || part === "winogrande",
  shots: { count: 5, draw: "random", hasSpare: true },
  // the two options stand in the context; what follows the blank is what is scored
  contexts(row) {
    const sentence = textOf(row, "sentence");
    const before = sentence.slice(0, blankOf(row, sentence));
    return [before + textOf(row, "option1"), before + textOf(row, "option2")];
  },
  choices(row) {
    const sentence = textOf(row, "sentence");
    return sentence.slice(blankOf(row, sentence) + 1).trim();
  },
  gold: (row) => indexOf(row, "answer") - 1,
  primary: "acc",
};

function blankOf(row: Row, sentence: string): number {
  const blank = sentence.indexOf("_");
  if (blank < 0) throw wrongColumn(row, "sentence", "a sentence with a blank");
  return blank;
}

export const piqa: ChoiceTask = {
  name: "piqa",
  title: "PIQA",
  hub: "baber/piqa",
  kind: "choice",
  splits: { test: ["validation", "valid"], shots: ["train"] },
  shots: { count: 0, draw: "random", hasSpare: true },
  contexts: (row) => `Question: ${textOf(row, "goal")}\nAnswer:`,
  choices: (row) => [textOf(row, "sol1"), textOf(row, "sol2")],
  gold: (row) => indexOf(row, "label"),
  primary: "acc_norm",
};
