/**
 * Chooses a level, finds or builds its library, and opens it: once a process.
 * ROOKERY_ISA forces a level; ROOKERY_KERNELS names a prebuilt file (made by the same sources).
 */
import { resolve } from "node:path";
import type koffi from "koffi";
import { RookeryError } from "../base/errors.ts";
import { cachedLibrary } from "./build.ts";
import { type Level, levels, supportedLevels } from "./levels.ts";
import { native } from "./native.ts";

const abiVersion = 15;

export type LoadedKernels = {
  level: Level;
  file: string;
  library: ReturnType<typeof koffi.load>;
};

let loaded: LoadedKernels | undefined;

/**
 * The kernels of this process, loaded at the first call.
 * @throws RookeryError INVALID_OPTION for a level that does not exist or that the CPU lacks, NO_COMPILER, KERNEL_FAILED.
 */
export function loadKernels(): LoadedKernels {
  loaded ??= openLibrary();
  return loaded;
}

/** The level that `loadKernels` takes: ROOKERY_ISA, or the best that the CPU runs. */
export function chooseLevel(): Level {
  const supported = supportedLevels();
  const forced = process.env.ROOKERY_ISA;
  if (!forced) return supported.at(-1) ?? "portable";
  const level = levels.find((candidate) => candidate === forced);
  if (!level || !supported.includes(level)) {
    throw new RookeryError(
      "INVALID_OPTION",
      `ROOKERY_ISA=${forced} ${level ? "is not supported by this CPU" : "is no level"}`,
      `unset it, or use one of: ${supported.join(", ")}`,
    );
  }
  return level;
}

function openLibrary(): LoadedKernels {
  const prebuilt = process.env.ROOKERY_KERNELS;
  // resolved: a bare name would be looked for among the system's libraries
  if (prebuilt) return openPrebuilt(resolve(prebuilt));
  const level = chooseLevel();
  const file = cachedLibrary(level);
  if (level === "amx") requestTileState();
  return {
    level,
    file,
    library: openFile(file, "KERNEL_FAILED", "delete that file so that it is built again").library,
  };
}

/** A library that was made elsewhere is of the level that it says, which this CPU may lack. */
function openPrebuilt(file: string): LoadedKernels {
  const mend = "give ROOKERY_KERNELS a file of `rookery kernels build`, or unset it";
  const { library, level } = openFile(file, "INVALID_OPTION", mend);
  const forced = process.env.ROOKERY_ISA;
  if (level === undefined || !supportedLevels().includes(level) || (forced && forced !== level)) {
    throw new RookeryError(
      "INVALID_OPTION",
      `ROOKERY_KERNELS=${file} is of level ${level}; ${forced ? `ROOKERY_ISA asks for ${forced}, ` : ""}this CPU runs ${supportedLevels().join(", ")}`,
      "build it with --isa for a level that fits, or unset ROOKERY_KERNELS",
    );
  }
  if (level === "amx") requestTileState();
  return { level, file, library };
}

/** @param code whose fault it is when the file is no library of these kernels. */
function openFile(
  file: string,
  code: "KERNEL_FAILED" | "INVALID_OPTION",
  hint: string,
): { library: LoadedKernels["library"]; level: Level | undefined } {
  try {
    const library = native().load(file);
    const found = library.func("rookery_abi_version", "int32_t", [])();
    if (found !== abiVersion) throw new Error(`its ABI is ${found}, this Rookery needs ${abiVersion}`);
    return { library, level: levels[library.func("rookery_level", "int32_t", [])()] };
  } catch (error) {
    throw new RookeryError(code, `the kernels ${file} cannot be loaded: ${(error as Error).message}`, hint, {
      cause: error,
    });
  }
}

/** Linux hands out the AMX tile registers only to a process that asks (arch_prctl ARCH_REQ_XCOMP_PERM, XTILEDATA). */
function requestTileState(): void {
  const syscall = native().load(null).func("syscall", "long", ["long", "long", "long"]);
  const archPrctl = 158;
  const requestPermission = 0x1023;
  const tileData = 18;
  if (syscall(archPrctl, requestPermission, tileData) !== 0) {
    throw new RookeryError(
      "KERNEL_FAILED",
      "the kernel of this system does not grant the AMX tile registers",
      "set ROOKERY_ISA=avx512bf16",
    );
  }
}
