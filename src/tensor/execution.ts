/** What every op needs around it: threads, the memory of the step, the compute type, and the tape while one records. */
import { ThreadPool } from "../kernels/bindings/threads.ts";
import { Arena } from "./arena.ts";
import type { Parameter } from "./parameter.ts";
import { Tape } from "./tape.ts";
import type { ComputeType, Tensor } from "./tensor.ts";

/** a [rows, in]; offsets as the product takes them. */
export type ProductObserver = (weight: Parameter, a: Tensor, offsets: Tensor | null) => void;

export class Execution implements Disposable {
  readonly pool: ThreadPool;
  readonly arena: Arena;
  readonly computeType: ComputeType;
  /** Sees the rows of every forward product of a weight before it runs: for calibration. */
  observer: ProductObserver | undefined;
  #tape: Tape | undefined;

  /**
   * @param threads 1 to 256; results do not depend on it.
   * @param isPlanned only count what the arena would need; no kernel runs on its tensors.
   */
  constructor(options: { threads: number; computeType: ComputeType; isPlanned?: boolean }) {
    this.arena = new Arena(options);
    this.pool = new ThreadPool(options.threads);
    this.computeType = options.computeType;
  }

  /** The tape, inside `record`; undefined outside, and then ops keep nothing for a backward pass. */
  get tape(): Tape | undefined {
    return this.#tape;
  }

  /** Runs `forward` with a tape; the tape's `runBackward` then leaves gradients in the parameters. */
  record<Result>(forward: () => Result): { result: Result; tape: Tape } {
    if (this.#tape) throw new Error("a tape is recording already");
    const tape = new Tape(this.arena);
    this.#tape = tape;
    try {
      return { result: forward(), tape };
    } finally {
      this.#tape = undefined;
    }
  }

  /** Runs `body` without the tape: nothing in it is kept for a way back. */
  unrecorded<Result>(body: () => Result): Result {
    const tape = this.#tape;
    this.#tape = undefined;
    try {
      return body();
    } finally {
      this.#tape = tape;
    }
  }

  [Symbol.dispose](): void {
    this.arena[Symbol.dispose]();
    this.pool[Symbol.dispose]();
  }
}
