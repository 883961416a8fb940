/** A process that takes part in a benchmark: it is asked, it answers, and it ends with its owner. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { RookeryError } from "../base/errors.ts";
import { type Method, type Questions, type Reply, type Response, replySchemas } from "./protocol.ts";

export type Environment = Record<string, string | undefined>;

type Pending = { resolve: (value: unknown) => void; reject: (error: Error) => void };

const graceMs = 2000;
const keptErrorCharacters = 2000;

export class Contestant implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #send: (request: object) => void;
  readonly #pending = new Map<number, Pending>();
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#child.kill("SIGKILL");
  #nextId = 1;
  #errorText = "";
  #ended: Promise<void>;
  #failure: RookeryError | undefined;

  private constructor(name: string, child: ChildProcess, usesIpc: boolean, signal: AbortSignal | undefined) {
    this.name = name;
    this.#child = child;
    this.#signal = signal;
    this.#send = usesIpc
      ? (request) => void child.send(request, () => {})
      : (request) => void child.stdin?.write(`${JSON.stringify(request)}\n`);
    if (usesIpc) child.on("message", (message) => this.#receive(message as Response));
    else if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => this.#receiveLine(line));
    child.stdin?.on("error", () => {}); // a process that is gone is told of by "exit"
    child.stderr?.on("data", (data: Buffer) => {
      this.#errorText = (this.#errorText + data.toString()).slice(-keptErrorCharacters);
    });
    this.#ended = new Promise((resolve) => {
      child.on("error", (error) => this.#end(`does not start: ${error.message}`, resolve));
      child.on("close", (code, killedBy) => this.#end(`ended with ${killedBy ?? `code ${code}`}`, resolve));
    });
    signal?.addEventListener("abort", this.#abort);
    if (signal?.aborted) this.#abort();
  }

  /** Our own kernels in a process of their own, at `level` (undefined: the best that the CPU runs). */
  static ours(environment: Environment, level: string | undefined, signal?: AbortSignal): Contestant {
    // in a clone this file is .ts, in the package .js, and so is its neighbour
    const file = path.join(import.meta.dirname, `worker${path.extname(import.meta.filename)}`);
    const env = level === undefined ? environment : { ...environment, ROOKERY_ISA: level };
    const child = fork(file, [], { env: env as NodeJS.ProcessEnv, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    return new Contestant("rookery", child, true, signal);
  }

  /** A program that speaks the protocol on stdin and stdout. */
  static peer(
    { name, command, words }: { name: string; command: string; words: readonly string[] },
    environment: Environment,
    signal?: AbortSignal,
  ): Contestant {
    const child = spawn(command, words, { env: environment as NodeJS.ProcessEnv, stdio: ["pipe", "pipe", "pipe"] });
    return new Contestant(name, child, false, signal);
  }

  /**
   * Asks, and waits for the answer.
   * @throws RookeryError BENCH_FAILED when it reports an error, ends, is silent for `limitSeconds`, or answers something else.
   */
  async call<Name extends Method>(method: Name, question: Questions[Name], limitSeconds = 600): Promise<Reply<Name>> {
    this.#signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    const timer = setTimeout(() => {
      this.#errorText = `no answer to ${method} in ${limitSeconds} s`;
      this.#child.kill("SIGKILL");
    }, limitSeconds * 1000);
    try {
      this.#send({ id, method, ...question });
      const parsed = replySchemas[method].safeParse(await answer);
      if (!parsed.success) throw this.#fault(`answered ${method} with something else than the protocol says`);
      return parsed.data as Reply<Name>;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets it end by itself, and ends it if it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#abort);
    // a fork disconnects itself: where its parent does, Node never tells that it has closed
    if (this.#child.connected) this.#child.send("end");
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    await this.#ended;
    clearTimeout(timer);
  }

  #receiveLine(line: string): void {
    if (!line.startsWith("{")) return; // some libraries print greetings
    try {
      this.#receive(JSON.parse(line) as Response);
    } catch {
      this.#failPending(this.#fault(`wrote a line that is no JSON: ${line.slice(0, 80)}`));
    }
  }

  #receive(response: Response): void {
    const waiting = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (response.error === undefined) waiting?.resolve(response.result);
    else waiting?.reject(this.#fault(`failed: ${response.error}`));
  }

  #end(why: string, resolve: () => void): void {
    const last = this.#errorText.trim().split("\n").at(-1);
    this.#failure = this.#fault(last ? `${why}: ${last}` : why);
    this.#failPending(this.#failure);
    resolve();
  }

  #failPending(failure: Error): void {
    const reason = this.#signal?.aborted ? (this.#signal.reason as Error) : failure;
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }

  #fault(what: string): RookeryError {
    return new RookeryError(
      "BENCH_FAILED",
      `${this.name} ${what}`.trim(),
      "see docs/performance.md for what each peer needs; --peer none measures without one",
    );
  }
}
