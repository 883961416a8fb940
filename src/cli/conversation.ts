/** One conversation at the command line: lines in, answers out. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import type { AnswerSettings, ChatMessage, Endpoint } from "../endpoint/endpoint.ts";
import { printable } from "./text.ts";

export const conversationHelp = [
  "/reset         begin anew, with the same system prompt",
  "/system TEXT   begin anew with this system prompt; without TEXT, with none",
  "/help          these lines",
  "/exit          leave (so does Ctrl-D)",
  "A line that ends in \\ goes on in the next. Ctrl-C stops an answer; once more, it leaves.",
];

type Options = {
  endpoint: Endpoint;
  model: string;
  settings: AnswerSettings;
  system: string | undefined;
  write: (text: string) => void;
  /** Whether an answer that fails ends the conversation, as it must where nobody reads the error. */
  failsAtOnce: boolean;
};

export class Conversation {
  readonly #options: Options;
  readonly #context: CommandContext;
  #messages: ChatMessage[];
  #answer: AbortController | undefined;
  answerTokens = 0;

  constructor(options: Options, context: CommandContext) {
    this.#options = options;
    this.#context = context;
    this.#messages = this.#beginning(options.system);
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Stops the answer that is being written; false if there is none. */
  interrupt(): boolean {
    if (this.#answer === undefined) return false;
    this.#answer.abort();
    return true;
  }

  /** Takes lines until they end or one says /exit. */
  async follow(lines: AsyncIterable<string>): Promise<void> {
    let text = "";
    for await (const line of lines) {
      if (line.endsWith("\\")) {
        text += `${line.slice(0, -1)}\n`;
        continue;
      }
      text += line;
      if (!(await this.#take(text))) return;
      text = "";
    }
    if (text !== "") await this.#take(text);
  }

  /** Whether the conversation goes on. */
  async #take(text: string): Promise<boolean> {
    const [, command, rest = ""] = /^\/(\w+)(?:\s+(.*))?$/s.exec(text) ?? [];
    if (command === undefined) {
      if (text.trim() !== "") await this.#say(text);
    } else if (command === "exit" || command === "quit") return false;
    else if (command === "reset") this.#messages = this.#messages.filter(({ role }) => role === "system");
    else if (command === "system") this.#messages = this.#beginning(rest.trim() || undefined);
    else if (command === "help") for (const line of conversationHelp) this.#note(line);
    else this.#note(`there is no command /${command}; /help lists them`);
    return true;
  }

  async #say(text: string): Promise<void> {
    const asked: ChatMessage[] = [...this.#messages, { role: "user", content: text }];
    this.#answer = new AbortController();
    const { signal } = this.#context;
    const either = signal === undefined ? this.#answer.signal : AbortSignal.any([signal, this.#answer.signal]);
    let answer = "";
    try {
      await this.#write(asked, either, (piece) => {
        answer += piece;
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!this.#answer.signal.aborted) {
        if (this.#options.failsAtOnce || !(error instanceof RookeryError)) throw error;
        this.#context.onEvent?.({ type: "warning", message: `${error.message}; ${error.hint}` });
        return;
      }
      this.#note("stopped");
    } finally {
      this.#answer = undefined;
    }
    this.#messages = [...asked, { role: "assistant", content: answer }];
  }

  async #write(asked: ChatMessage[], signal: AbortSignal, keep: (piece: string) => void): Promise<void> {
    const { endpoint, model, settings, write } = this.#options;
    let hasText = false;
    try {
      for await (const piece of endpoint.answer({ model, messages: asked, ...settings }, signal)) {
        if (piece.type === "text") {
          keep(piece.text);
          write(printable(piece.text));
          hasText ||= piece.text !== "";
          continue;
        }
        this.answerTokens += piece.answerTokens ?? 0;
        if (piece.finishReason === "length") this.#note("the answer is as long as it may be, and was cut off");
      }
    } finally {
      if (hasText) write("\n");
    }
  }

  #beginning(system: string | undefined): ChatMessage[] {
    return system === undefined ? [] : [{ role: "system", content: system }];
  }

  #note(message: string): void {
    this.#context.onEvent?.({ type: "note", message });
  }
}
