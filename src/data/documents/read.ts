/** Files of people's documents into text with its place, title, language and tables, whatever the files hold. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { threadFlags } from "../../base/thread.ts";
import { documentKind, documentText, type SourceDocument } from "./document.ts";
import { failureOf } from "./fault.ts";
import { detectLanguage } from "./language.ts";
import { readTable } from "./table.ts";
import type { FromReader, ToReader } from "./worker.ts";

export type DocumentLimits = {
  /** Time for one document. */
  seconds?: number;
  /** Memory for one document. */
  megabytes?: number;
  /** The largest file that is opened. */
  fileMegabytes?: number;
};

const tooMuch = (limit: string): FromReader => ({
  type: "fault",
  message: `takes more than ${limit} to read`,
  hint: "split it, or leave it out",
});

/** Between two looks at how much memory a thread has taken. */
const lookEveryMilliseconds = 100;

/**
 * Reads documents one after another on a thread of its own, which has no network, and is ended with whatever it reads when it takes
 * more time or memory than allowed; the next document then gets a new one.
 */
export class DocumentReader implements AsyncDisposable {
  readonly #limits: Required<DocumentLimits>;
  #worker: Worker | undefined;

  constructor({ seconds = 60, megabytes = 1024, fileMegabytes = 100 }: DocumentLimits = {}) {
    this.#limits = { seconds, megabytes, fileMegabytes };
  }

  /**
   * Waits for one document before the next is asked for.
   * @throws RookeryError FILE_UNREADABLE; BAD_DATA for what is of no kind that is read, damaged, locked, or over a limit; the
   * signal's reason.
   */
  async read(file: string, { signal }: CommandContext = {}): Promise<SourceDocument> {
    signal?.throwIfAborted();
    const kind = documentKind(file);
    const bad = (what: string, hint: string) => new RookeryError("BAD_DATA", `${file} ${what}`, hint);
    if (kind === null) throw bad("is of a kind that is not read", "give .html, .pdf, .docx, .md, .txt, .csv or .tsv");
    const maxBytes = this.#limits.fileMegabytes * 2 ** 20;
    const maxUnpackedBytes = (this.#limits.megabytes / 4) * 2 ** 20;
    const answer =
      kind === "table"
        ? await this.#askTable(file, maxBytes, signal)
        : await this.#ask({ path: file, kind, maxBytes, maxUnpackedBytes }, signal);
    switch (answer.type) {
      case "document":
        return { path: file, kind, language: answer.language, ...answer.content };
      case "fault":
        throw bad(answer.message, answer.hint);
      case "unreadable":
        throw new RookeryError(
          "FILE_UNREADABLE",
          `${file} cannot be read (${answer.code})`,
          "check the path and its permissions",
        );
    }
  }

  /** DuckDB reads on threads of its own, within limits of its own, and gives rows one after another. */
  async #askTable(file: string, maxBytes: number, signal: AbortSignal | undefined): Promise<FromReader> {
    const { seconds } = this.#limits;
    const timeIsUp = AbortSignal.timeout(seconds * 1000);
    try {
      const content = await readTable(file, maxBytes, AbortSignal.any(signal ? [signal, timeIsUp] : [timeIsUp]));
      return { type: "document", content, language: await detectLanguage(documentText(content)) };
    } catch (error) {
      signal?.throwIfAborted();
      if (timeIsUp.aborted) return tooMuch(`${seconds} seconds`);
      return failureOf(error, "table");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #ask(request: ToReader, signal: AbortSignal | undefined): Promise<FromReader> {
    const { seconds, megabytes } = this.#limits;
    // in a clone this file is .ts, in the package .js, and so is its neighbour
    this.#worker ??= new Worker(path.join(import.meta.dirname, `worker${path.extname(import.meta.filename)}`), {
      resourceLimits: { maxOldGenerationSizeMb: megabytes },
      ...threadFlags(),
      // libraries write of what they dislike in a file
      ...{ stdout: true, stderr: true },
    });
    const worker = this.#worker;
    worker.ref();
    const ended = Promise.withResolvers<FromReader>();
    const onAbort = () => ended.reject(signal?.reason);
    const takesMemory = () => ended.resolve(tooMuch(`${megabytes} MiB of memory`));
    const timer = setTimeout(() => ended.resolve(tooMuch(`${seconds} seconds`)), seconds * 1000);
    const look = setInterval(async () => {
      const used = await worker.getHeapStatistics().catch(() => undefined);
      if (used && used.total_heap_size + used.external_memory > megabytes * 2 ** 20) takesMemory();
    }, lookEveryMilliseconds);
    let hasAnswered = false;
    const onMessage = (answer: FromReader) => {
      hasAnswered = true;
      ended.resolve(answer);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") takesMemory();
      else ended.reject(error);
    };
    worker.once("message", onMessage);
    worker.once("error", onError);
    signal?.addEventListener("abort", onAbort);
    worker.postMessage(request);
    try {
      return await ended.promise;
    } finally {
      clearTimeout(timer);
      clearInterval(look);
      signal?.removeEventListener("abort", onAbort);
      worker.off("message", onMessage);
      worker.off("error", onError);
      worker.unref();
      if (!hasAnswered) await this[Symbol.asyncDispose]();
    }
  }
}

/** One document; several are read faster by one `DocumentReader`. Throws as it does. */
export async function readDocument(
  file: string,
  context: CommandContext = {},
  limits: DocumentLimits = {},
): Promise<SourceDocument> {
  await using reader = new DocumentReader(limits);
  return await reader.read(file, context);
}
