import { type ExitCode, exitCodes, RookeryError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { rookeryVersion } from "../base/version.ts";
import type { CommandIo, Terminal } from "./command.ts";
import { type CommandEntry, commandTable } from "./commands.ts";
import type { DisplayStream } from "./progress.ts";
import { oneLine } from "./text.ts";

/** What the command line stands on: the process, or a recorder in tests. */
export type Shell = {
  stdout: DisplayStream;
  stderr: DisplayStream;
  stdin: CommandIo["stdin"];
  terminal?: Terminal | undefined;
  environment: Record<string, string | undefined>;
  /** Aborted when the user asks to stop. */
  signal: AbortSignal;
};

/** Runs one command line, words after `rookery`, and answers with the exit code. Nothing is thrown. */
export async function main(words: readonly string[], shell: Shell, table = commandTable): Promise<ExitCode> {
  const json = words.includes("--json");
  try {
    return await dispatch(words, shell, table);
  } catch (error) {
    return reportError(error, shell, json);
  }
}

async function dispatch(words: readonly string[], shell: Shell, table: readonly CommandEntry[]): Promise<ExitCode> {
  const first = words[0];
  if (first === "--version" || first === "-V") {
    shell.stdout.write(`${rookeryVersion}\n`);
    return exitCodes.done;
  }
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    return await printOverview(shell, table);
  }
  const entry = findEntry(words, table);
  if (entry !== undefined) return await runCommand(entry, words.slice(entry.name.split(" ").length), shell);
  const inGroup = table.filter((one) => one.name.startsWith(`${first} `));
  const second = words[1];
  if (inGroup.length > 0 && (second === undefined || second === "--help" || second === "-h")) {
    return await printOverview(shell, table, first);
  }
  throw unknownCommand(words, table, inGroup);
}

function findEntry(words: readonly string[], table: readonly CommandEntry[]): CommandEntry | undefined {
  return table.find((entry) => entry.name.split(" ").every((part, index) => words[index] === part));
}

function unknownCommand(
  words: readonly string[],
  table: readonly CommandEntry[],
  inGroup: readonly CommandEntry[],
): RookeryError {
  if (words[0]!.startsWith("-")) {
    return new RookeryError(
      "UNKNOWN_OPTION",
      `unknown option ${words[0]}`,
      "a command comes first: rookery COMMAND [options]; see rookery --help",
    );
  }
  if (inGroup.length > 0) {
    const known = inGroup.map((entry) => entry.name);
    return new RookeryError(
      "UNKNOWN_OPTION",
      `unknown command "${words[0]} ${words[1]}"`,
      didYouMean(`${words[0]} ${words[1]}`, known),
    );
  }
  const known = [...new Set(table.flatMap((entry) => [entry.name.split(" ")[0]!, entry.name]))];
  return new RookeryError("UNKNOWN_OPTION", `unknown command "${words[0]}"`, didYouMean(words[0]!, known));
}

async function printOverview(shell: Shell, table: readonly CommandEntry[], group?: string): Promise<ExitCode> {
  const { overviewHelp } = await import("./help.ts");
  shell.stdout.write(`${overviewHelp(table, group).join("\n")}\n`);
  return exitCodes.done;
}

async function runCommand(entry: CommandEntry, words: readonly string[], shell: Shell): Promise<ExitCode> {
  const [{ command }, { parseWords }] = await Promise.all([entry.load(), import("./flags.ts")]);
  const { layers, json, help } = parseWords(words, entry.name, command.schema, command.positionals);
  if (help) {
    const { commandHelp } = await import("./help.ts");
    shell.stdout.write(`${commandHelp(entry, command).join("\n")}\n`);
    return exitCodes.done;
  }
  const { Display } = await import("./progress.ts");
  const display = json ? undefined : new Display(shell.stderr, { environment: shell.environment });
  const stopMessage = command.stopMessage ?? "stopping as soon as the work is saved";
  const onStop = () => display?.print(`${stopMessage}; Ctrl-C again ends at once`, "warning");
  shell.signal.addEventListener("abort", onStop, { once: true });
  try {
    const outcome = await command.execute({
      layers,
      signal: shell.signal,
      io: {
        json,
        stdin: shell.stdin,
        terminal: json ? undefined : shell.terminal,
        write: (text) => void (json || shell.stdout.write(text)),
        environment: shell.environment,
      },
      display,
      onWarning: (message) => writeJson(shell.stderr, "rookery-warning/1", { warning: message }),
    });
    display?.close();
    const lines = json ? [] : outcome.describe();
    shell.stdout.write(lines.map((line) => `${line}\n`).join(""));
    const format = outcome.sharedFormat ?? `rookery-${entry.name.replaceAll(" ", "-")}/1`;
    if (json || outcome.sharedFormat !== undefined) writeJson(shell.stdout, format, outcome.result);
    const isInterrupted = shell.signal.aborted && command.stopMessage === undefined;
    return isInterrupted ? exitCodes.interrupted : outcome.exitCode;
  } finally {
    display?.close();
    shell.signal.removeEventListener("abort", onStop);
  }
}

function writeJson(stream: DisplayStream, format: string, content: object): void {
  const named = { format, rookeryVersion };
  // Named first, for people who read the line; and last, since no content may rename it.
  stream.write(`${JSON.stringify({ ...named, ...content, ...named })}\n`);
}

function reportError(error: unknown, shell: Shell, json: boolean): ExitCode {
  const isInterruption = shell.signal.aborted && error instanceof Error && error.name === "AbortError";
  const known = isInterruption ? new RookeryError("INTERRUPTED", "stopped", "run the same command again") : error;
  if (known instanceof RookeryError) {
    const { code, message, hint, exitCode } = known;
    if (json) writeJson(shell.stderr, "rookery-error/1", { error: { code, message, hint } });
    else shell.stderr.write(`rookery: ${oneLine(message)}; ${oneLine(hint)}\n`);
    return exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (json) writeJson(shell.stderr, "rookery-error/1", { error: { code: "INTERNAL", message: String(error), stack } });
  else
    shell.stderr.write(`rookery: this is a fault of Rookery, not yours; please report it with these lines\n${stack}\n`);
  return exitCodes.ourFault;
}

/** Runs the command line of this process. Called by `bin/rookery.js`. */
export async function runFromShell(table = commandTable): Promise<void> {
  const controller = new AbortController();
  // `once`: with the handler gone, the second signal has its default effect and ends the process.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => controller.abort());
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(exitCodes.done); // the reader, `head` for example, has seen enough
  });
  const shell = {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    terminal:
      process.stdin.isTTY && process.stdout.isTTY ? { input: process.stdin, output: process.stdout } : undefined,
    environment: process.env,
    signal: controller.signal,
  };
  process.exitCode = await main(process.argv.slice(2), shell, table);
}
