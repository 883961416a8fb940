/** A process under watch: its output is capped, its time and memory too, and nothing of it stays when it ends. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { killTree, treeBytes } from "./process-tree.ts";

export type WatchedOptions = {
  folder: string;
  environment: Record<string, string>;
  stdin: string;
  timeoutMs: number;
  memoryBytes: number;
  outputBytes: number;
  signal: AbortSignal | undefined;
};

export type WatchedResult = {
  /** False when the command failed before it said, by a byte on descriptor 3, that the program begins. */
  hasStarted: boolean;
  /** What the process took too much of, if that ended it. */
  exceeded: "timeout" | "memory" | "output" | undefined;
  exitCode: number | null;
  stdout: string;
  stderr: string;
  /** From the program's beginning. */
  durationMs: number;
};

const memoryPollMs = 50;
/** For what comes before the program, on a machine that has other things to do. */
const setUpMs = 60_000;
/** How long pipes may stay open after the process has ended: only a process that nobody finds any more holds them. */
const lingerMs = 1000;

/** @throws the system's error for a command that cannot be run; the signal's reason, after the process has ended. */
export function watchProcess([command, ...words]: readonly string[], options: WatchedOptions): Promise<WatchedResult> {
  const { folder, environment, stdin, timeoutMs, memoryBytes, outputBytes, signal } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command!, words, {
      cwd: folder,
      env: environment as NodeJS.ProcessEnv,
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      // A group of its own, to be killed as one.
      detached: true,
    });
    let exceeded: WatchedResult["exceeded"];
    let startedAt: number | undefined;
    const kill = (): void => {
      if (child.pid !== undefined) killTree(child.pid);
    };
    const stop = (reason: NonNullable<WatchedResult["exceeded"]>): void => {
      exceeded ??= reason;
      kill();
    };
    const output = [child.stdout!, child.stderr!].map((stream) => collect(stream, outputBytes, () => stop("output")));
    let timer = setTimeout(() => stop("timeout"), setUpMs);
    const poll = setInterval(() => {
      if (child.pid !== undefined && treeBytes(child.pid) > memoryBytes) stop("memory");
    }, memoryPollMs);
    const settle = (): void => {
      clearTimeout(timer);
      clearInterval(poll);
      signal?.removeEventListener("abort", kill);
    };
    signal?.addEventListener("abort", kill, { once: true });
    child.stdio[3]!.once("data", () => {
      startedAt = performance.now();
      clearTimeout(timer);
      timer = setTimeout(() => stop("timeout"), timeoutMs);
    });
    // A program that reads nothing, or has ended, breaks the pipe.
    child.stdin!.on("error", () => {});
    child.stdin!.end(stdin);
    child.on("error", (error) => {
      settle();
      reject(error);
    });
    child.on("exit", () => {
      // What it left running would keep the pipes open and the machine busy.
      kill();
      clearTimeout(timer);
      timer = setTimeout(() => {
        for (const stream of child.stdio) stream?.destroy();
      }, lingerMs);
    });
    child.on("close", (exitCode) => {
      settle();
      if (signal?.aborted) return reject(signal.reason);
      const [stdout, stderr] = output.map((read) => read()) as [string, string];
      const durationMs = performance.now() - (startedAt ?? performance.now());
      resolve({ hasStarted: startedAt !== undefined, exceeded, exitCode, stdout, stderr, durationMs });
    });
  });
}

/** Keeps the first `mostBytes` of a stream and calls `onExcess` for more. The text comes without half a character at its end. */
function collect(stream: Readable, mostBytes: number, onExcess: () => void): () => string {
  const chunks: Buffer[] = [];
  let room = mostBytes;
  stream.on("data", (chunk: Buffer) => {
    if (chunk.length > room) onExcess();
    if (room > 0) chunks.push(chunk.subarray(0, room));
    room -= chunk.length;
  });
  stream.on("error", () => {});
  return () => new TextDecoder().decode(Buffer.concat(chunks), { stream: room < 0 });
}
