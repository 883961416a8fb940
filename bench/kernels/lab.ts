/**
 * The laboratory: versions of one computation beside each other on one thread, each checked before any is timed, then in
 * rounds that alternate. Time is the thread's own CPU time, so that what else the machine does counts little.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { type Spread, spreadOf } from "../../src/bench/statistics.ts";
import { findCompiler } from "../../src/kernels/build.ts";
import { compilerFlags } from "../../src/kernels/levels.ts";
import { loadKernels } from "../../src/kernels/load.ts";

export type Version = {
  name: string;
  run(): void;
  /** The largest error of what `run` has left, against an f64 reference, as a share of the largest value. */
  error(): number;
};

export type Experiment = Disposable & {
  /** What one run does, for a rate: 2e9 FLOP, or 64e6 bytes. */
  work: { amount: number; unit: "FLOP" | "byte" };
  allowedError: number;
  /** The first is what the others are compared with. */
  versions: readonly Version[];
};

export type Row = { name: string; rate: Spread; timesFirst: Spread; error: number };

const shortestTimingMs = 2;

/**
 * Compiles versions written in C as the kernels of this level are, with src/kernels on the include path.
 * @param declarations "float name(uintptr_t, size_t)" each, as koffi takes them.
 */
export function compileVersions<Name extends string>(
  file: string,
  declarations: Record<Name, string>,
): Record<Name, (...values: number[]) => number> {
  const compiler = findCompiler();
  if (!compiler) throw new Error("no C compiler was found");
  const folder = mkdtempSync(join(tmpdir(), "rookery-lab-"));
  const library = join(folder, "versions.so");
  const include = join(import.meta.dirname, "..", "..", "src", "kernels");
  const words = [...compilerFlags(loadKernels().level), "-I", include, file, "-o", library];
  try {
    const built = spawnSync(compiler.command, words, { encoding: "utf8" });
    if (built.status !== 0) throw new Error(`${file} does not compile:\n${built.stderr}`);
    const loaded = koffi.load(library);
    const functions = Object.entries<string>(declarations).map(([name, declaration]) => [
      name,
      loaded.func(declaration),
    ]);
    return Object.fromEntries(functions) as Record<Name, (...values: number[]) => number>;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const threadCpuClock = platform() === "darwin" ? 16 : 3; // CLOCK_THREAD_CPUTIME_ID
const time = new BigInt64Array(2);
let readClock: ((clock: number, time: BigInt64Array) => number) | undefined;

/** CPU time of this thread by the system's finest clock: `process.threadCpuUsage` counts ticks of milliseconds. */
function threadCpuMs(): number {
  readClock ??= koffi.load(null).func("int clock_gettime(int clock, _Out_ void *time)");
  readClock?.(threadCpuClock, time);
  return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
}

/** Milliseconds of CPU time that this thread takes for `repetitions` runs. */
function cpuMs(version: Version, repetitions: number): number {
  const before = threadCpuMs();
  for (let i = 0; i < repetitions; i++) version.run();
  return threadCpuMs() - before;
}

/** @throws Error naming the version that is wrong; nothing has been timed then. */
export function compare(experiment: Experiment, rounds: number): Row[] {
  const { versions, allowedError, work } = experiment;
  const errors = versions.map((version) => {
    version.run();
    const error = version.error();
    if (!(error <= allowedError)) throw new Error(`${version.name} is wrong by ${error}, ${allowedError} is allowed`);
    return error;
  });
  const repetitions = versions.map((version) => {
    let count = 1;
    while (cpuMs(version, count) < shortestTimingMs) count *= 2;
    return count;
  });
  const timings: number[][] = versions.map(() => []);
  for (let round = 0; round < rounds; round++) {
    // the order turns, so that no version always follows the same other
    for (let turn = 0; turn < versions.length; turn++) {
      const index = (turn + round) % versions.length;
      timings[index]!.push(cpuMs(versions[index]!, repetitions[index]!) / repetitions[index]!);
    }
  }
  return versions.map((version, index) => ({
    name: version.name,
    rate: spreadOf(timings[index]!.map((ms) => work.amount / (ms / 1000))),
    timesFirst: spreadOf(timings[index]!.map((ms, round) => timings[0]![round]! / ms)),
    error: errors[index]!,
  }));
}

/** Rows for people. */
export function describeRows(rows: readonly Row[], { unit }: Experiment["work"]): string[] {
  const width = Math.max(...rows.map((row) => row.name.length));
  return rows.map(({ name, rate, timesFirst, error }) => {
    const per = unit === "FLOP" ? "GFLOP/s" : "GB/s";
    const { median: times, min, max } = timesFirst;
    return `${name.padEnd(width)}  ${(rate.median / 1e9).toFixed(2).padStart(9)} ${per}  ${times.toFixed(2)}× (${min.toFixed(2)}–${max.toFixed(2)})  error ${error.toExponential(1)}`;
  });
}
