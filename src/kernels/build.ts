/** Compiles the kernels of one level with the system's C compiler, into a cache that is keyed by what went in. */
import { spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir, platform } from "node:os";
import { join } from "node:path";
import { RookeryError } from "../base/errors.ts";
import { compilerFlags, type Level } from "./levels.ts";

const sourceFolder = import.meta.dirname;

function sourceFiles(extension: string): string[] {
  return readdirSync(sourceFolder)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => join(sourceFolder, name));
}

export type Compiler = { command: string; version: string };

/** The C compiler that builds the kernels: `CC` if set, else the first of cc, gcc and clang that answers. */
export function findCompiler(): Compiler | undefined {
  for (const command of process.env.CC ? [process.env.CC] : ["cc", "gcc", "clang"]) {
    const answer = spawnSync(command, ["--version"], { encoding: "utf8" });
    if (answer.status === 0) return { command, version: answer.stdout.split("\n")[0] ?? "" };
  }
  return undefined;
}

/**
 * The user's cache folder for compiled kernels.
 * @throws RookeryError FILE_UNWRITABLE if it cannot be made, or belongs to another user (whose library we would load).
 */
export function kernelCacheFolder(): string {
  const base =
    process.env.XDG_CACHE_HOME ||
    (platform() === "darwin" ? join(homedir(), "Library/Caches") : join(homedir(), ".cache"));
  const folder = join(base, "rookery", "kernels");
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const status = lstatSync(folder);
    if (!status.isDirectory() || (process.getuid && status.uid !== process.getuid())) {
      throw new RookeryError(
        "FILE_UNWRITABLE",
        `the kernel cache ${folder} belongs to another user`,
        "set XDG_CACHE_HOME to a folder of your own",
      );
    }
    if ((status.mode & 0o077) !== 0) chmodSync(folder, 0o700);
  } catch (error) {
    if (error instanceof RookeryError) throw error;
    throw new RookeryError(
      "FILE_UNWRITABLE",
      `the kernel cache ${folder} cannot be made: ${(error as Error).message}`,
      "set XDG_CACHE_HOME to a folder you can write",
      { cause: error },
    );
  }
  return folder;
}

/**
 * Compiles `level` to the file `output`.
 * @throws RookeryError NO_COMPILER without a C compiler, KERNEL_FAILED if it refuses the sources.
 */
export function compileKernels(level: Level, output: string, compiler = findCompiler()): void {
  if (!compiler) throw noCompiler();
  const beside = `${output}.${randomUUID()}.tmp`;
  const answer = spawnSync(compiler.command, [...compilerFlags(level), ...sourceFiles(".c"), "-o", beside], {
    encoding: "utf8",
  });
  if (answer.status !== 0) {
    rmSync(beside, { force: true });
    throw new RookeryError(
      "KERNEL_FAILED",
      `${compiler.command} (${compiler.version}) could not build the ${level} kernels:\n${answer.stderr.slice(0, 2000)}`,
      "try another compiler with CC=gcc or CC=clang, or another level with ROOKERY_ISA=portable",
    );
  }
  renameSync(beside, output);
}

function noCompiler(): RookeryError {
  return new RookeryError(
    "NO_COMPILER",
    process.env.CC
      ? `the C compiler of CC=${process.env.CC} does not run`
      : "no C compiler was found (looked for cc, gcc, clang)",
    "Debian/Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install; Windows: use WSL2; or name in ROOKERY_KERNELS what `rookery kernels build` made elsewhere",
  );
}

/** What a library is known by in the cache: all that decides its bytes. */
export function libraryKey(sources: Buffer[], compilerVersion: string, flags: string[]): string {
  const digest = (data: Buffer | string) => createHash("sha256").update(data).digest("hex");
  return digest(JSON.stringify([sources.map(digest), compilerVersion, flags])).slice(0, 24);
}

/** The compiled library of a level, from the cache or built now. */
export function cachedLibrary(level: Level): string {
  const compiler = findCompiler();
  if (!compiler) throw noCompiler();
  const sources = [...sourceFiles(".h"), ...sourceFiles(".c")].map((file) => readFileSync(file));
  const key = libraryKey(sources, compiler.version, compilerFlags(level));
  const file = join(kernelCacheFolder(), `${level}-${key}.so`);
  if (!existsSync(file)) compileKernels(level, file, compiler);
  return file;
}
