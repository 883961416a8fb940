/** Completion for shells, made of the table of commands: which words can follow which, and what can be a value. */
import { alternatives, type OptionSchema, schemasAt } from "../base/option-schema.ts";
import type { CommandEntry } from "./commands.ts";
import { bashScript } from "./completion-bash.ts";
import { fishScript } from "./completion-fish.ts";
import { commonFlags, type Flag, flagsOf } from "./flags.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** What can be a value: words that are known, and what the shell finds when it is asked. */
export type Values = {
  words: readonly string[];
  found: readonly ("files" | "folders" | "runs")[];
  /** Several can be written with commas between them. */
  hasCommas: boolean;
};

export type CompletedFlag = {
  /** With its dashes, and `--no-` where that is how it is said. */
  name: string;
  /** Undefined for a switch, after which anything can come. */
  values: Values | undefined;
  /** Words that follow its value are values, too. */
  isOpen: boolean;
};

/** What can stand after `rookery` and these words; all words are letters, digits and a few signs that no shell reads. */
export type Continuation = {
  after: string;
  /** Next words of a command's name, or values of what is no flag. */
  values: Values;
  flags: readonly CompletedFlag[];
};

/** The script that a shell reads to complete `rookery`. Where nothing is known of a value, files are completed. */
export async function completionScript(shell: Shell, table: readonly CommandEntry[]): Promise<string> {
  const continuations = await continuationsOf(table);
  if (shell === "fish") return fishScript(continuations);
  const head = shell === "zsh" ? "autoload -U +X compinit bashcompinit && compinit -u && bashcompinit\n" : "";
  return head + bashScript(continuations);
}

const onlyWords = (words: readonly string[]): Values => ({ words, found: [], hasCommas: false });
const anything: Values = { words: [], found: ["files"], hasCommas: false };

async function continuationsOf(table: readonly CommandEntry[]): Promise<Continuation[]> {
  const firstWords = [...new Set(table.map(({ name }) => name.split(" ")[0]!))];
  const groups = firstWords.flatMap((first) => {
    const seconds = table.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name.split(" ")[1]!);
    return seconds.length > 0 ? [{ after: first, values: onlyWords(seconds), flags: [] }] : [];
  });
  const commands = table.map(async (entry): Promise<Continuation> => {
    const { command } = await entry.load();
    const [positional] = command.positionals;
    const schema = positional === undefined ? undefined : command.schema.properties?.[positional];
    const own = flagsOf(command.schema, command.positionals).map((flag) => completed(flag, positional === undefined));
    return {
      after: entry.name,
      values: schema === undefined ? anything : valuesOf(schema, { hasCommas: false, commands: firstWords }),
      flags: [
        ...own,
        ...commonFlags.map((flag) => ({ name: `--${flag.name}`, values: commonValues(flag), isOpen: false })),
      ],
    };
  });
  const first = ["--help", "--version"].map((name) => ({ name, values: undefined, isOpen: false }));
  return [{ after: "", values: onlyWords(firstWords), flags: first }, ...groups, ...(await Promise.all(commands))];
}

function completed(flag: Flag, takesLooseWords: boolean): CompletedFlag {
  if (flag.isBoolean) {
    const isOn = flag.schema.default === true;
    return { name: isOn ? `--no-${flag.name}` : `--${flag.name}`, values: undefined, isOpen: false };
  }
  const isListOfNames = schemasAt(flag.schema, [0]).some((one) => one.examples !== undefined);
  const values = flag.takesOptionalNumber
    ? undefined
    : valuesOf(flag.schema, { hasCommas: flag.takesCommas || isListOfNames });
  return { name: `--${flag.name}`, values, isOpen: flag.isRepeatable && takesLooseWords };
}

function commonValues(flag: (typeof commonFlags)[number]): Values | undefined {
  if (!("valueName" in flag)) return undefined;
  return flag.valueName === "FILE" ? anything : onlyWords([]);
}

/** What the shell looks for, by the name of the value in the help; for names that are not here there is nothing to find. */
const foundByName: Record<string, Values["found"]> = {
  ...Object.fromEntries(
    ["PATH", "FILE", "FILE.jsonl", "FILE.html", "FILE.md", "TABLE", "CONFIG", "RESPONSES", "LAW", "PEER", "TASK"].map(
      (name) => [name, ["files"]],
    ),
  ),
  ...Object.fromEntries(["FOLDER", "A", "B"].map((name) => [name, ["folders"]])),
  ...Object.fromEntries(["MODEL", "TOKENIZER", "LABEL=MODEL"].map((name) => [name, ["runs", "folders"]])),
  RUN: ["runs"],
};

function valuesOf(
  schema: OptionSchema,
  { hasCommas, commands = [] }: { hasCommas: boolean; commands?: string[] },
): Values {
  const { valueName } = schema;
  if (valueName === "COMMAND") return onlyWords(commands);
  const ones = [...alternatives(schema), ...schemasAt(schema, [0])];
  const words = ones.flatMap((one) => [
    ...(one.enum ?? []),
    ...("const" in one ? [one.const] : []),
    ...(one.examples ?? []),
  ]);
  return { words: [...new Set(words.map(String))], found: foundByName[valueName ?? ""] ?? [], hasCommas };
}
