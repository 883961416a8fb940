/**
 * The levels of the kernels: which compiler flags each is built with, and which the running CPU can execute.
 * Flags are named one by one, never -march=native, so that a level means the same on every machine.
 */
import { readFileSync } from "node:fs";
import { arch, platform } from "node:os";

/** Slowest first. */
export const levels = ["portable", "neon", "avx2", "avx512", "avx512bf16", "amx"] as const;
export type Level = (typeof levels)[number];

const avx2Flags = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"];
const avx512Flags = [...avx2Flags, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"];

// tiles: how bf16 lies for products of pairs
const avx512bf16Flags = [...avx512Flags, "-mavx512bf16", "-DROOKERY_TILES"];

const levelFlags: Record<Level, string[]> = {
  portable: [],
  neon: ["-march=armv8-a"],
  avx2: avx2Flags,
  avx512: avx512Flags,
  avx512bf16: avx512bf16Flags,
  amx: [...avx512bf16Flags, "-mavx512fp16", "-mamx-tile", "-mamx-bf16", "-DROOKERY_AMX"],
};

/** Flags every level is compiled with. No -ffast-math: NaN and infinities keep their meaning. */
export const commonFlags = [
  "-std=c17",
  "-O3",
  "-ffp-contract=off",
  "-fno-math-errno",
  "-fvisibility=hidden",
  "-fPIC",
  "-shared",
  "-pthread",
  "-Wno-psabi",
  // the pool's threads may outlive the module that loaded the library, when a process ends without disposing of them
  ...(platform() === "linux" ? ["-Wl,-z,nodelete"] : []),
];

export function compilerFlags(level: Level): string[] {
  return [...commonFlags, `-DROOKERY_LEVEL=${levels.indexOf(level)}`, ...levelFlags[level]];
}

const avx2Needed = ["avx2", "fma", "f16c", "bmi2"];
const avx512Needed = [...avx2Needed, "avx512f", "avx512bw", "avx512dq", "avx512vl"];
const cpuFlagsNeeded: Record<Level, string[]> = {
  portable: [],
  neon: ["asimd"],
  avx2: avx2Needed,
  avx512: avx512Needed,
  avx512bf16: [...avx512Needed, "avx512_bf16"],
  amx: [...avx512Needed, "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16"],
};

function cpuFlags(): Set<string> {
  // every 64-bit ARM CPU that Node runs on has these vectors, and macOS has no /proc/cpuinfo
  if (arch() === "arm64") return new Set(["asimd"]);
  if (platform() !== "linux" || arch() !== "x64") return new Set();
  try {
    const line = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(line?.[1]?.split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}

/** Levels that this CPU can run, slowest first. */
export function supportedLevels(): Level[] {
  const flags = cpuFlags();
  return levels.filter((level) => cpuFlagsNeeded[level].every((flag) => flags.has(flag)));
}
