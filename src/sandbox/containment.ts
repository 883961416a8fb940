/** Which walls this machine can build: found out once, by building them around a program that does nothing. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { type Limits, namespaceCommand, searchPath } from "./namespaces.ts";

export type Containment =
  /** No network, no files but the system's programs and libraries, and limits that count for the whole program. */
  | { kind: "namespaces" }
  /** Limits for single processes only. */
  | { kind: "none"; reason: string };

const probeLimits: Limits = {
  cpuSeconds: 10,
  dataBytes: 2 ** 28,
  fileBytes: 2 ** 20,
  folderBytes: 2 ** 20,
  processes: 8,
  openFiles: 64,
};

let found: Containment | undefined;

export function findContainment(): Containment {
  found ??= probe();
  return found;
}

/** One line for people. */
export function describeContainment(containment: Containment): string {
  return containment.kind === "namespaces"
    ? "no network, no files of yours, limited time, memory, processes and output (Linux namespaces)"
    : `not contained: ${containment.reason}`;
}

function probe(): Containment {
  if (platform() !== "linux") return { kind: "none", reason: `${platform()} has no namespaces` };
  const folder = mkdtempSync(join(tmpdir(), "rookery-probe-"));
  try {
    const root = join(folder, "root");
    const program = join(folder, "program");
    mkdirSync(root);
    writeFileSync(program, "");
    const isRoot = process.getuid?.() === 0;
    const places = { root, program, runtime: process.execPath, limits: probeLimits, isRoot };
    const [command, ...words] = namespaceCommand(["true"], places);
    const { status, stderr, error } = spawnSync(command!, words, {
      env: { PATH: searchPath } as NodeJS.ProcessEnv,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      encoding: "utf8",
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    if (status === 0) return { kind: "namespaces" };
    const lastLine = stderr?.trim().split("\n").at(-1) ?? "";
    return { kind: "none", reason: error?.message ?? (lastLine || "the walls cannot be built") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
