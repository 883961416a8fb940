/** Runs a program that a model wrote, in a process of its own with walls around it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RookeryError } from "../base/errors.ts";
import { findContainment } from "./containment.ts";
import { insidePaths, type Limits, limitedCommand, namespaceCommand, searchPath } from "./namespaces.ts";
import { type WatchedResult, watchProcess } from "./watched-process.ts";

export const codeLanguages = ["python", "javascript"] as const;
export type CodeLanguage = (typeof codeLanguages)[number];

export type ContainedRequest = {
  language: CodeLanguage;
  /** A whole program: Python 3 for the system's interpreter, JavaScript (CommonJS or a module) for this Node. */
  code: string;
  stdin?: string | undefined;
  /** By the clock, from the program's start; each of its processes gets as much processor time and a second more. */
  timeoutMs?: number | undefined;
  /** Of all its processes together. */
  memoryBytes?: number | undefined;
  /** Of stdout and of stderr, each. */
  outputBytes?: number | undefined;
  /** Runs the program even where its network and the files it reads cannot be cut off. */
  allowUncontained?: boolean | undefined;
  signal?: AbortSignal | undefined;
};

/** How a program ended: by itself, without or with an error, or because it took too much of something. */
export type ContainedStatus = "ok" | "error" | "timeout" | "memory" | "output";

export type ContainedResult = {
  status: ContainedStatus;
  stdout: string;
  stderr: string;
  /** Null when a signal ended it. */
  exitCode: number | null;
  durationMs: number;
};

const mebibyte = 2 ** 20;
/** What V8 reserves as writable memory before a program starts. */
const nodeOwnBytes = 640 * mebibyte;
const memoryMessages =
  /MemoryError|heap out of memory|process out of memory|Array buffer allocation failed|Cannot allocate memory|external memory pressure/;

/**
 * Runs `code` and tells how it ended; whatever is not "ok" is a failed answer. The program has no network, an empty folder in
 * memory (16 MiB), no files but the system's programs and libraries, 32 processes (threads count), an empty
 * environment, and does not outlive the call. It may leave early with exit code 0: `passesTests` knows the difference.
 * Without bounds given: 10 seconds, 256 MiB of memory, 1 MiB of output.
 * @throws RookeryError NOT_CONTAINED where the walls cannot be built, unless `allowUncontained`; MISSING_DEPENDENCY
 *   without a Python; the signal's reason.
 */
export async function runContained(request: ContainedRequest): Promise<ContainedResult> {
  request.signal?.throwIfAborted();
  const containment = findContainment();
  if (containment.kind === "none" && !request.allowUncontained) throw notContained(containment.reason);
  const bounds = {
    stdin: request.stdin ?? "",
    timeoutMs: request.timeoutMs ?? 10_000,
    memoryBytes: request.memoryBytes ?? 256 * mebibyte,
    outputBytes: request.outputBytes ?? mebibyte,
    signal: request.signal,
  };
  const isWalled = containment.kind === "namespaces";
  const outside = mkdtempSync(join(tmpdir(), "rookery-code-"));
  try {
    const folder = join(outside, "folder");
    mkdirSync(folder);
    const program = join(outside, "program");
    writeFileSync(program, request.code, { mode: 0o644 });
    const paths = isWalled ? insidePaths : { program, folder, runtime: process.execPath };
    const words = programWords(request.language, paths, bounds.memoryBytes);
    const limits = limitsOf(request.language, bounds);
    const isRoot = process.getuid?.() === 0;
    const command = isWalled
      ? namespaceCommand(words, { root: folder, program, runtime: process.execPath, limits, isRoot })
      : limitedCommand(words, limits);
    const environment = {
      PATH: searchPath,
      HOME: paths.folder,
      TMPDIR: paths.folder,
      LANG: "C.UTF-8",
      // Sets come in the same order from run to run.
      PYTHONHASHSEED: "0",
    };
    return toResult(await watchProcess(command, { folder, environment, ...bounds }));
  } finally {
    rmSync(outside, { recursive: true, force: true });
  }
}

/** Node's permission model stands behind the walls: it forbids JavaScript other processes and files by itself. */
function programWords(
  language: CodeLanguage,
  { program, folder, runtime }: { program: string; folder: string; runtime: string },
  memoryBytes: number,
): string[] {
  if (language === "python") return ["python3", "-s", "-B", "-X", "utf8", program];
  return [
    runtime,
    "--permission",
    `--allow-fs-read=${program}`,
    `--allow-fs-read=${folder}`,
    `--allow-fs-write=${folder}`,
    `--max-old-space-size=${Math.max(8, Math.floor(memoryBytes / mebibyte))}`,
    program,
  ];
}

function limitsOf(language: CodeLanguage, bounds: { timeoutMs: number; memoryBytes: number }): Limits {
  return {
    cpuSeconds: Math.ceil(bounds.timeoutMs / 1000) + 1,
    dataBytes: bounds.memoryBytes + (language === "javascript" ? nodeOwnBytes : 0),
    fileBytes: 16 * mebibyte,
    folderBytes: 16 * mebibyte,
    processes: 32,
    openFiles: 64,
  };
}

function toResult({ hasStarted, exceeded, exitCode, stdout, stderr, durationMs }: WatchedResult): ContainedResult {
  if (!hasStarted && exceeded === undefined) throw notContained(stderr.trim().split("\n").at(-1) ?? "");
  if (exitCode === 127 && /python3.*(?:not found|No such file)/.test(stderr)) {
    throw new RookeryError("MISSING_DEPENDENCY", "there is no python3 to run Python with", "install Python 3");
  }
  const ownEnd = exitCode === 0 ? "ok" : memoryMessages.test(stderr) ? "memory" : "error";
  return { status: exceeded ?? ownEnd, stdout, stderr, exitCode, durationMs };
}

function notContained(reason: string): RookeryError {
  return new RookeryError(
    "NOT_CONTAINED",
    `generated code cannot be cut off from network and files here: ${reason}`,
    "allow user namespaces (Debian: sysctl kernel.unprivileged_userns_clone=1), or say that code may run uncontained",
  );
}
