import { RookeryError } from "../../base/errors.ts";
import { native } from "../native.ts";
import { type Addressed, byteCount, kernel } from "./declare.ts";

const poolBytes = byteCount("rookery_pool_bytes", {});
const poolCreate = kernel("rookery_pool_create", { memory: "memory", threads: "int" });
const poolDestroy = kernel("rookery_pool_destroy", { pool: "memory" });

const alignment = 64n;

/** Threads that kernels run on; the calling thread is one of them. Results never depend on how many there are. */
export class ThreadPool implements Addressed, Disposable {
  readonly threads: number;
  /**
   * From malloc, not an ArrayBuffer: when a process ends without having disposed of its pool, Node frees its buffers while
   * the pool's threads still look at theirs.
   */
  #allocation: bigint | undefined;
  readonly #address: number;

  /** @param threads 1 to 256. */
  constructor(threads: number) {
    this.threads = threads;
    this.#allocation = native().alloc("uint8_t", poolBytes({}) + Number(alignment)) as bigint;
    this.#address = Number(((this.#allocation + alignment - 1n) / alignment) * alignment);
    try {
      poolCreate({ memory: { address: this.#address }, threads });
    } catch (error) {
      native().free(this.#allocation);
      this.#allocation = undefined;
      throw error;
    }
  }

  /** @throws RookeryError DISPOSED after dispose. */
  get address(): number {
    if (this.#allocation === undefined) {
      throw new RookeryError(
        "DISPOSED",
        "a thread pool was used after it was given back",
        "keep its owner alive longer",
      );
    }
    return this.#address;
  }

  [Symbol.dispose](): void {
    if (this.#allocation === undefined) return;
    poolDestroy({ pool: this });
    native().free(this.#allocation);
    this.#allocation = undefined;
  }
}
