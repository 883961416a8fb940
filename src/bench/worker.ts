/** Our side of a benchmark, in a process of its own: it is asked by its parent, and does nothing without one. */
import { totalmem } from "node:os";
import { rookeryVersion } from "../base/version.ts";
import { timeKernels } from "../kernels/bindings/declare.ts";
import { measurePeakFlops, measureReadBandwidth } from "../kernels/bindings/peak.ts";
import { ThreadPool } from "../kernels/bindings/threads.ts";
import { loadKernels } from "../kernels/load.ts";
import { peakProcessBytes } from "../train/memory.ts";
import type { Method, Questions, Reply, Request, Response, Work } from "./protocol.ts";
import { AttentionWorkload } from "./work/attention.ts";
import { GemmWorkload } from "./work/gemm.ts";
import { GenerateWorkload } from "./work/generate.ts";
import { predictedMemory, TrainWorkload } from "./work/train.ts";
import { measure, secondsOf, type Workload } from "./work/workload.ts";

/** Large enough to leave every cache, small enough for a small machine. */
const bandwidthMebibytes = Math.min(1024, Math.floor(totalmem() / 2 ** 24));

async function workloadOf(work: Work, threads: number): Promise<Workload> {
  if (work.kind === "generate") return await GenerateWorkload.open(work, threads);
  if (work.kind === "gemm") return new GemmWorkload(work, threads);
  if (work.kind === "attention") return new AttentionWorkload(work, threads);
  return new TrainWorkload(work, threads);
}

class BenchWorker {
  #threads = 1;
  #workload: Workload | undefined;

  readonly #answers: { [Name in Method]: (question: Questions[Name]) => Reply<Name> | Promise<Reply<Name>> } = {
    hello: ({ threads }) => {
      this.#threads = threads;
      return { name: "rookery", version: rookeryVersion, level: loadKernels().level };
    },
    prepare: async ({ work }) => {
      this.#workload?.[Symbol.dispose]();
      this.#workload = await workloadOf(work, this.#threads);
      this.#workload.time(1);
      const { parameters } = this.#workload;
      return parameters === undefined ? {} : { parameters };
    },
    round: ({ seconds }) => ({ seconds: measure(this.#prepared, seconds) }),
    memory: () => ({ peakBytes: peakProcessBytes() }),
    predict: ({ work }) => ({ totalBytes: predictedMemory(work, this.#threads).totalBytes }),
    check: () => this.#prepared.check?.() ?? { largestError: 0, allowedError: 0 },
    bits: async ({ work, repetitions }) => {
      const digests: string[] = [];
      for (const threads of [1, this.#threads, this.#threads]) {
        using workload = await workloadOf(work, threads);
        workload.time(repetitions);
        digests.push(workload.digest());
      }
      return { digests };
    },
    profile: ({ repetitions }) => this.#profile(repetitions),
    peaks: ({ computeType, withBandwidth }) => {
      using pool = new ThreadPool(this.#threads);
      const flopsPerSecond = measurePeakFlops(pool, computeType);
      if (!withBandwidth) return { flopsPerSecond, bytesPerSecond: 0 };
      return { flopsPerSecond, bytesPerSecond: measureReadBandwidth(pool, bandwidthMebibytes) };
    },
  };

  async answer(request: Request): Promise<Response> {
    try {
      const method = this.#answers[request.method] as (question: unknown) => unknown;
      return { id: request.id, result: await method(request) };
    } catch (error) {
      return { id: request.id, error: (error as Error).message };
    }
  }

  get #prepared(): Workload {
    if (!this.#workload) throw new Error("nothing was prepared");
    return this.#workload;
  }

  #profile(repetitions: number): Reply<"profile"> {
    const workload = this.#prepared;
    const kernels = new Map<string, { kernel: string; calls: number; seconds: number }>();
    timeKernels((kernel, milliseconds) => {
      const one = kernels.get(kernel) ?? { kernel, calls: 0, seconds: 0 };
      kernels.set(kernel, one);
      one.calls++;
      one.seconds += milliseconds / 1000;
    });
    try {
      const seconds = secondsOf(() => workload.time(repetitions));
      return { repetitions, seconds, kernels: [...kernels.values()].sort((a, b) => b.seconds - a.seconds) };
    } finally {
      timeKernels(undefined);
    }
  }
}

if (process.send) {
  const worker = new BenchWorker();
  process.on("message", (message: Request | "end") => {
    if (message === "end") process.disconnect();
    else void worker.answer(message).then((response) => process.send?.(response));
  });
}
