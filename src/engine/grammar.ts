/** Texts that keep to a grammar: which tokens may come next. Grammars are compiled and followed on threads of their own. */
import path from "node:path";
import { Worker } from "node:worker_threads";
import { RookeryError } from "../base/errors.ts";
import { threadFlags } from "../base/thread.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkGrammar } from "./grammar-check.ts";
import {
  boardWords,
  type FromGrammarWorker,
  type GrammarWorkerData,
  type ToGrammarWorker,
} from "./grammar-messages.ts";
import type { Grammar } from "./request.ts";
import type { TokenMask } from "./sampling.ts";

export type GrammarOptions = {
  /** Most time that compiling a grammar may take. */
  compileMilliseconds?: number;
  /** Most time that the mask of a token may take. */
  maskMilliseconds?: number;
  /** Most grammars that are kept compiled; each has a thread. The one unused for longest goes first. */
  kept?: number;
};

/** The compiled grammars of an engine. */
export class Grammars implements Disposable {
  readonly #vocabulary: Pick<GrammarWorkerData, "tokenBytes" | "tokenOffsets">;
  readonly #options: Required<GrammarOptions>;
  /** By grammar and stop tokens; the one unused for longest is first. */
  readonly #threads = new Map<string, GrammarThread>();

  /** @param vocabularySize rows of the embedding table, as of `drawableTokens`. */
  constructor(tokenizer: Tokenizer, vocabularySize: number, options: GrammarOptions = {}) {
    this.#vocabulary = vocabularyOf(tokenizer, vocabularySize);
    this.#options = { compileMilliseconds: 10_000, maskMilliseconds: 5_000, kept: 16, ...options };
  }

  /**
   * A text that will keep to `grammar` from its first token on, and may end with a stop token only where the grammar permits.
   * @throws RookeryError INVALID_OPTION for a grammar that is wrong, too large, or takes too long to compile; OVERLOADED while
   * as many other grammars are in use as are kept.
   */
  async open(grammar: Grammar, stopTokenIds: readonly number[]): Promise<GrammarText> {
    checkGrammar(grammar);
    const key = JSON.stringify([grammar, stopTokenIds]);
    let thread = this.#threads.get(key);
    if (thread === undefined || thread.isBroken) {
      this.#makeRoom();
      thread = new GrammarThread({ grammar, stopTokenIds, ...this.#vocabulary }, this.#options);
    } else this.#threads.delete(key);
    this.#threads.set(key, thread);
    try {
      return await thread.open();
    } catch (error) {
      if (this.#threads.get(key) === thread) this.#threads.delete(key);
      throw error;
    }
  }

  #makeRoom(): void {
    for (const [key, thread] of this.#threads) {
      if (thread.isBroken) this.#threads.delete(key);
    }
    if (this.#threads.size < this.#options.kept) return;
    for (const [key, thread] of this.#threads) {
      if (thread.isInUse) continue;
      thread[Symbol.dispose]();
      this.#threads.delete(key);
      return;
    }
    throw new RookeryError("OVERLOADED", `${this.#threads.size} grammars are in use`, "try again later");
  }

  [Symbol.dispose](): void {
    for (const thread of this.#threads.values()) thread[Symbol.dispose]();
    this.#threads.clear();
  }
}

/** Where one text stands in its grammar. Synchronous: the next mask is made while the model computes. */
export class GrammarText implements Disposable {
  readonly #thread: GrammarThread;
  readonly #id: number;
  readonly #board: Int32Array;
  #tokens = 0;

  constructor(thread: GrammarThread, id: number, board: Int32Array) {
    this.#thread = thread;
    this.#id = id;
    this.#board = board;
    thread.send({ type: "open", id, board });
  }

  /**
   * The tokens that may come next, good until `accept`; undefined when the text is complete and nothing may follow.
   * @throws RookeryError INVALID_OPTION if the grammar takes too long, or breaks the library.
   */
  mask(): TokenMask | undefined {
    const { masks, complete, mask } = boardWords;
    const endMs = performance.now() + this.#thread.maskMilliseconds;
    for (;;) {
      const made = Atomics.load(this.#board, masks);
      if (made > this.#tokens) break;
      const leftMs = endMs - performance.now();
      if (made < 0 || leftMs <= 0 || this.#thread.isBroken) {
        this.#thread[Symbol.dispose]();
        throw refused(made < 0 ? "it breaks the grammar library" : "it takes too long to follow");
      }
      Atomics.wait(this.#board, masks, made, leftMs);
    }
    return this.#board[complete] === 1 ? undefined : this.#board.subarray(mask);
  }

  /** Tells the token that has come, one of the mask and no stop token. */
  accept(token: number): void {
    this.#tokens++;
    this.#thread.send({ type: "accept", id: this.#id, token });
  }

  [Symbol.dispose](): void {
    this.#thread.close(this.#id);
  }
}

class GrammarThread implements Disposable {
  readonly maskMilliseconds: number;
  readonly #worker: Worker;
  readonly #maskWords: number;
  readonly #ready: Promise<void>;
  readonly #open = new Set<number>();
  #opening = 0;
  #texts = 0;
  #isBroken = false;

  constructor(data: GrammarWorkerData, options: Required<GrammarOptions>) {
    this.maskMilliseconds = options.maskMilliseconds;
    this.#maskWords = Math.ceil((data.tokenOffsets.length - 1) / 32);
    const file = path.join(import.meta.dirname, `grammar-worker${path.extname(import.meta.filename)}`);
    this.#worker = new Worker(file, { workerData: data, stderr: true, ...threadFlags() });
    this.#ready = this.#compiled(options.compileMilliseconds);
    // whoever waits hears of it; when nobody does any more it must not end the process
    this.#ready.catch(() => {});
  }

  /** Whether it can be used no more. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  get isInUse(): boolean {
    return this.#opening > 0 || this.#open.size > 0;
  }

  async open(): Promise<GrammarText> {
    this.#opening++;
    try {
      await this.#ready;
    } finally {
      this.#opening--;
    }
    const id = this.#texts++;
    this.#open.add(id);
    const board = new Int32Array(new SharedArrayBuffer(4 * (boardWords.mask + this.#maskWords)));
    return new GrammarText(this, id, board);
  }

  send(message: ToGrammarWorker): void {
    if (!this.#isBroken) this.#worker.postMessage(message);
  }

  close(id: number): void {
    if (this.#open.delete(id)) this.send({ type: "close", id });
  }

  [Symbol.dispose](): void {
    this.#isBroken = true;
    void this.#worker.terminate();
  }

  #compiled(mostMilliseconds: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => {
        clearTimeout(timeout);
        this[Symbol.dispose]();
        reject(refused(reason));
      };
      const timeout = setTimeout(() => fail("it takes too long to compile"), mostMilliseconds);
      this.#worker.on("message", (message: FromGrammarWorker) => {
        if (message.type === "refused") return fail(message.reason);
        clearTimeout(timeout);
        resolve();
      });
      this.#worker.on("error", ({ message }) => fail(message));
      this.#worker.on("exit", () => fail("its thread has ended"));
    });
  }
}

function refused(reason: string): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `the grammar or JSON schema cannot be used: ${reason}`,
    "give another, or a simpler one",
  );
}

/** In memory that all threads share. */
function vocabularyOf(tokenizer: Tokenizer, vocabularySize: number) {
  const end = Math.min(vocabularySize, tokenizer.vocabularySize);
  const bytes = Array.from({ length: end }, (_, id) =>
    tokenizer.isSpecial(id) ? new Uint8Array() : tokenizer.tokenBytes(id),
  );
  const tokenOffsets = new Int32Array(new SharedArrayBuffer(4 * (vocabularySize + 1)));
  for (let id = 0; id < vocabularySize; id++) tokenOffsets[id + 1] = tokenOffsets[id]! + (bytes[id]?.length ?? 0);
  const tokenBytes = new Uint8Array(new SharedArrayBuffer(tokenOffsets[vocabularySize]!));
  for (const [id, own] of bytes.entries()) tokenBytes.set(own, tokenOffsets[id]!);
  return { tokenBytes, tokenOffsets };
}
