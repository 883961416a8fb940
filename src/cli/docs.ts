import { errorCodes, exitCodes } from "../base/errors.ts";
import { type CommandEntry, commandTable } from "./commands.ts";
import { commonRows, flagRows, nestedRows, type OptionRow, positionalRows, usageLine } from "./help.ts";

const generatedNote = "<!-- Written by `npm run docs`; change the source instead. -->";

/** `docs/cli.md`: every command with its flags and examples, made of the schemas. */
export async function cliMarkdown(table: readonly CommandEntry[] = commandTable): Promise<string> {
  const sections = await Promise.all(table.map(commandSection));
  const lines = [
    "# The command line",
    "",
    generatedNote,
    "",
    "Options are taken from four places; what stands further left wins:",
    "flags, `--set KEY=VALUE`, the file given with `--config`, the preset or default.",
    "A key that no option has is an error. Every command also takes:",
    "",
    ...toTable("Option", commonRows()),
    "",
    "| Command | What it does |",
    "| --- | --- |",
    ...table.map(
      (entry) =>
        `| [\`rookery ${entry.name}\`](#rookery-${entry.name.replaceAll(" ", "-")}) | ${escapeCell(entry.summary)} |`,
    ),
    "",
    ...sections.flat(),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** `docs/errors.md`: error codes and exit codes, made of their tables. */
export function errorsMarkdown(): string {
  const lines = [
    "# Errors",
    "",
    generatedNote,
    "",
    "A mistake that you can mend is one line: what is wrong, then how to mend it. Under `--json` it is one object on",
    'stderr: `{"format": "rookery-error/1", "rookeryVersion": …, "error": {"code", "message", "hint"}}`.',
    "From a program it is a thrown `RookeryError` with the same `code`, `message` and `hint`.",
    "",
    "| Code | Meaning |",
    "| --- | --- |",
    ...Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${escapeCell(meaning)} |`),
    "",
    "Any other error is a fault of Rookery: its stack is printed (code `INTERNAL` under `--json`). Please report it.",
    "",
    "| Exit code | Meaning |",
    "| --- | --- |",
    ...Object.entries(exitCodes).map(
      ([name, code]) => `| ${code} | ${exitCodeMeanings[name as keyof typeof exitCodes]} |`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

const exitCodeMeanings: Record<keyof typeof exitCodes, string> = {
  done: "done",
  ourFault: "a fault of Rookery",
  userMistake: "a mistake in the command line, the options, the data or the machine's setup",
  gateFailed: "a comparison was made and the gate failed",
  stoppedByGuard: "stopped by a guard, such as a loss that is no longer finite",
  interrupted: "stopped by Ctrl-C, after saving",
};

async function commandSection(entry: CommandEntry): Promise<string[]> {
  const { command } = await entry.load();
  const nested = nestedRows(command);
  return [
    `## rookery ${entry.name}`,
    "",
    `${capitalize(entry.summary)}.`,
    "",
    "```sh",
    usageLine(entry, command),
    "```",
    "",
    ...withBlank(toTable("Argument", positionalRows(command))),
    ...withBlank(toTable("Option", flagRows(command))),
    ...withBlank(toTable("Key for `--set` and `--config`", nested)),
    "```sh",
    ...command.examples.flatMap((example) => [`# ${example.purpose}`, example.line]),
    "```",
    "",
  ];
}

function toTable(head: string, rows: readonly OptionRow[]): string[] {
  if (rows.length === 0) return [];
  return [
    `| ${head} | Meaning |`,
    "| --- | --- |",
    ...rows.map((row) => `| \`${escapeCell(row.syntax)}\` | ${escapeCell(row.description)} |`),
  ];
}

function withBlank(lines: string[]): string[] {
  return lines.length === 0 ? [] : [...lines, ""];
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
