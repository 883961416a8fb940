/** What a user says, a line at a time: typed at a terminal, or piped in. */
import { createInterface } from "node:readline";
import type { CommandIo, Terminal } from "./command.ts";

const longestLine = 16 * 2 ** 20;
const rememberedLines = 1000;

/**
 * Lines as they are typed, after a prompt each; the arrow keys bring back earlier ones. Ends with Ctrl-D, with the signal, and
 * with a Ctrl-C for which `interrupt` answers that there was nothing to interrupt.
 */
export async function* typedLines(
  { input, output }: Terminal,
  { prompt, interrupt, signal }: { prompt: string; interrupt: () => boolean; signal?: AbortSignal | undefined },
): AsyncGenerator<string> {
  const lines = createInterface({ input, output, terminal: true, historySize: rememberedLines, prompt });
  const close = () => lines.close();
  lines.on("SIGINT", () => {
    if (!interrupt()) close();
  });
  signal?.addEventListener("abort", close);
  try {
    const typed = lines[Symbol.asyncIterator](); // before the prompt, so that no line is missed
    lines.prompt();
    for await (const line of typed) {
      yield line;
      lines.prompt();
    }
    output.write("\n");
  } finally {
    signal?.removeEventListener("abort", close);
    close();
  }
}

/** Lines of a file or a pipe; one of over 16 MiB comes in parts. */
export async function* pipedLines(stdin: CommandIo["stdin"]): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of stdin) {
    rest += typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop()!;
    yield* lines;
    if (rest.length < longestLine) continue;
    yield rest;
    rest = "";
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
