/** llama.cpp on the CPU, through node-llama-cpp, whose package brings its binaries along. */
import { getLlama } from "node-llama-cpp";

/** @param threads for everything that is computed. */
export function startLlama(threads) {
  return getLlama({ gpu: false, build: "never", maxThreads: threads, logLevel: "error", progressLogs: false });
}
