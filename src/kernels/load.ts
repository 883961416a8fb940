/**
 * Chooses a level, finds or builds its library, and opens it: once a process.
 * ROOKERY_ISA forces a level; ROOKERY_KERNELS names a prebuilt file (made by the same sources).
 */
import type koffi from "koffi";
import { RookeryError } from "../base/errors.ts";
import { cachedLibrary } from "./build.ts";
import { type Level, levels, supportedLevels } from "./levels.ts";
import { native } from "./native.ts";

const abiVersion = 13;

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
  const level = chooseLevel();
  const file = process.env.ROOKERY_KERNELS || cachedLibrary(level);
  if (level === "amx") requestTileState();
  try {
    const library = native().load(file);
    const found = library.func("rookery_abi_version", "int32_t", [])();
    if (found !== abiVersion) throw new Error(`its ABI is ${found}, this Rookery needs ${abiVersion}`);
    return { level, file, library };
  } catch (error) {
    throw new RookeryError(
      "KERNEL_FAILED",
      `the kernels ${file} cannot be loaded: ${(error as Error).message}`,
      "delete that file so that it is built again, or unset ROOKERY_KERNELS",
      { cause: error },
    );
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
      "set ROOKERY_ISA=avx512",
    );
  }
}
