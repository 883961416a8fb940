/** Which program is the peer, and whether it is here. */
import { existsSync } from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { Level } from "../kernels/levels.ts";
import type { Environment } from "./contestant.ts";

export type PeerProgram = { name: string; command: string; words: readonly string[] };

/** A peer that can be started, or why there is none, in a sentence for people. */
export type FoundPeer = { program: PeerProgram } | { missing: string };

const root = path.join(import.meta.dirname, "..", "..");
const peersFolder = path.join(root, "bench", "peers");

/**
 * @param peer "pytorch", "jax-js", "llama", "none", or the path of a script that speaks the protocol (.js, .mjs, .ts, or executable).
 * @param python the Python that has PyTorch; by default bench/peers/pytorch/.venv
 * @throws RookeryError INVALID_OPTION for a path that leads nowhere.
 */
export function findPeer(peer: string, python: string | undefined): FoundPeer {
  if (peer === "none") return { missing: "no peer was asked for" };
  if (peer !== "pytorch" && peer !== "jax-js" && peer !== "llama") return { program: scriptPeer(peer) };
  const folder = path.join(peersFolder, peer);
  if (!existsSync(folder)) {
    return { missing: "the published package has no bench/peers: clone the repository to measure against them" };
  }
  const readme = `bench/peers/${peer}/README.md says how to install it`;
  if (peer !== "pytorch") {
    if (!existsSync(path.join(folder, "node_modules"))) return { missing: `${peer} is not installed: ${readme}` };
    return { program: { name: peer, command: process.execPath, words: [path.join(folder, "server.mjs")] } };
  }
  const command = python ?? path.join(folder, ".venv", "bin", "python");
  if (!existsSync(command)) {
    if (python === undefined) return { missing: `PyTorch is not installed: ${readme}` };
    throw new RookeryError(
      "INVALID_OPTION",
      `--peer-python ${python} is not there`,
      "name the Python that has PyTorch",
    );
  }
  return { program: { name: peer, command, words: [path.join(folder, "server.py")] } };
}

function scriptPeer(file: string): PeerProgram {
  if (!existsSync(file)) {
    const hint = "give pytorch, jax-js, llama, none, or the path of a program that speaks bench/peers/README.md";
    throw new RookeryError("INVALID_OPTION", `--peer ${file} is not there`, hint);
  }
  const name = path.basename(file, path.extname(file));
  const isScript = /\.[cm]?[jt]s$/.test(file);
  return isScript
    ? { name, command: process.execPath, words: [file] }
    : { name, command: path.resolve(file), words: [] };
}

/** How PyTorch is held to the instructions of a level: by a switch of each of its libraries. MKL multiplies in f32, at AVX-512 if it may. */
const limits: Record<string, Environment> = {
  avx2: { ONEDNN_MAX_CPU_ISA: "AVX2", MKL_ENABLE_INSTRUCTIONS: "AVX2", ATEN_CPU_CAPABILITY: "avx2" },
  avx512: { ONEDNN_MAX_CPU_ISA: "AVX512_CORE", MKL_ENABLE_INSTRUCTIONS: "AVX512", ATEN_CPU_CAPABILITY: "avx512" },
  avx512bf16: {
    ONEDNN_MAX_CPU_ISA: "AVX512_CORE_BF16",
    MKL_ENABLE_INSTRUCTIONS: "AVX512",
    ATEN_CPU_CAPABILITY: "avx512",
  },
};

/** The peer's environment: our threads, the level's instructions, and none of the settings that slow BLAS down. */
export function peerEnvironment(environment: Environment, threads: number, level: Level | undefined): Environment {
  const { OPENBLAS_CORETYPE: _coreType, OPENBLAS_L2_SIZE: _l2Size, ...rest } = environment;
  return { ...rest, OMP_NUM_THREADS: String(threads), ...(level && limits[level]) };
}
