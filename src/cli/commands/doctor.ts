import { statfsSync } from "node:fs";
import { arch, availableParallelism, freemem, platform, totalmem } from "node:os";
import { z } from "zod";
import { exitCodes, RookeryError } from "../../base/errors.ts";
import { rookeryVersion } from "../../base/version.ts";
import { findCompiler, kernelCacheFolder } from "../../kernels/build.ts";
import { levels, supportedLevels } from "../../kernels/levels.ts";
import { loadKernels } from "../../kernels/load.ts";
import { describeContainment, findContainment } from "../../sandbox/containment.ts";
import { defineCommand } from "../command.ts";
import { type KernelRun, tryKernels } from "../kernel-run.ts";
import { alignColumns, formatBytes, shortNumber } from "../text.ts";

/** One thing that was looked at. `mend` says what to do when it is not well. */
type Check = { name: string; isWell: boolean; found: string; mend?: string };

type DoctorResult = {
  isWell: boolean;
  node: string;
  platform: string;
  cores: number;
  compiler: string | null;
  kernels: {
    levels: readonly string[];
    supported: readonly string[];
    used: string | null;
    file: string | null;
    run: KernelRun | null;
  };
  cacheFolder: string | null;
  memory: { totalBytes: number; availableBytes: number };
  disk: { folder: string; freeBytes: number };
  checks: Check[];
};

const leastMemoryBytes = 2 * 1024 ** 3;
const leastDiskBytes = 2 * 1024 ** 3;

/** Runs a check that may throw; what a `RookeryError` says becomes the finding. */
function attempt<Value>(
  name: string,
  run: () => Value,
  describe: (value: Value) => string,
): { check: Check; value: Value | null } {
  try {
    const value = run();
    return { check: { name, isWell: true, found: describe(value) }, value };
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    return { check: { name, isWell: false, found: error.message, mend: error.hint }, value: null };
  }
}

function requireCompiler(): string {
  const compiler = findCompiler();
  if (compiler !== undefined) return `${compiler.command}: ${compiler.version}`;
  throw new RookeryError(
    "NO_COMPILER",
    "none found (looked for CC, cc, gcc, clang)",
    "Debian: apt install gcc libc6-dev",
  );
}

/** Total memory as this process may use it: a container's limit counts when it is below the machine's memory. */
function memoryOfProcess(): DoctorResult["memory"] {
  const limit = process.constrainedMemory();
  const totalBytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  return { totalBytes, availableBytes: Math.min(totalBytes, process.availableMemory() || freemem()) };
}

function examine(): DoctorResult {
  const supported = supportedLevels();
  const compiler = attempt("compiler", requireCompiler, (found) => found);
  const cache = attempt("kernel cache", kernelCacheFolder, (folder) => folder);
  const kernels = attempt("kernels", loadKernels, ({ level, file }) => `${level}, ${file}`);
  const run = attempt("kernel run", tryKernels, ({ threads, peakFlops }) => {
    return `a product came out right; ${shortNumber(peakFlops / 1e9)} GFLOP/s in bf16 on ${threads} threads, from registers`;
  });
  const memory = memoryOfProcess();
  const folder = process.cwd();
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  // A prebuilt library needs no compiler: what counts in the end is whether kernels run.
  const compilerCheck = kernels.check.isWell ? { ...compiler.check, isWell: true } : compiler.check;
  const checks: Check[] = [
    { name: "rookery", isWell: true, found: rookeryVersion },
    {
      name: "node",
      isWell: true,
      found: `${process.versions.node} on ${platform()} ${arch()}, ${availableParallelism()} cores`,
    },
    compilerCheck,
    cache.check,
    {
      name: "kernel levels",
      isWell: true,
      found: levels.map((level) => `${level} ${supported.includes(level) ? "runs here" : "no"}`).join(", "),
    },
    kernels.check,
    ...(kernels.check.isWell ? [run.check] : []),
    // Who runs no generated code needs no walls.
    { name: "generated code", isWell: true, found: describeContainment(findContainment()) },
    {
      name: "memory",
      isWell: memory.availableBytes >= leastMemoryBytes,
      found: `${formatBytes(memory.availableBytes)} available of ${formatBytes(memory.totalBytes)}`,
      mend: `free at least ${formatBytes(leastMemoryBytes)} before training`,
    },
    {
      name: "disk",
      isWell: freeBytes >= leastDiskBytes,
      found: `${formatBytes(freeBytes)} free in ${folder}`,
      mend: `free at least ${formatBytes(leastDiskBytes)} before training`,
    },
  ];
  return {
    isWell: checks.every((check) => check.isWell),
    node: process.versions.node,
    platform: `${platform()}-${arch()}`,
    cores: availableParallelism(),
    compiler: compiler.value,
    kernels: {
      levels,
      supported,
      used: kernels.value?.level ?? null,
      file: kernels.value?.file ?? null,
      run: run.value,
    },
    cacheFolder: cache.value,
    memory,
    disk: { folder, freeBytes },
    checks,
  };
}

export const command = defineCommand({
  schema: z.strictObject({}),
  examples: [
    { line: "rookery doctor", purpose: "look at this machine; exit code 2 when something is to be mended" },
    { line: "rookery doctor --json", purpose: "the same for a report of a fault" },
  ],
  run: examine,
  describe: (result) => [
    ...alignColumns(result.checks.map((check) => [check.isWell ? "ok  " : "mend", check.name, check.found])),
    ...result.checks
      .filter((check) => !check.isWell && check.mend !== undefined)
      .map((check) => `${check.name}: ${check.mend}`),
    result.isWell ? "all is well" : "not all is well: see above",
  ],
  exitCode: (result) => (result.isWell ? exitCodes.done : exitCodes.userMistake),
});
