import { type Addressed, byteCount, kernel } from "./declare.ts";
import { NativeMemory } from "./memory.ts";

const poolBytes = byteCount("rookery_pool_bytes", {});
const poolCreate = kernel("rookery_pool_create", { memory: "memory", threads: "int" });
const poolDestroy = kernel("rookery_pool_destroy", { pool: "memory" });

/** Threads that kernels run on; the calling thread is one of them. Results never depend on how many there are. */
export class ThreadPool implements Addressed, Disposable {
  readonly threads: number;
  readonly #memory: NativeMemory;

  /** @param threads 1 to 256. */
  constructor(threads: number) {
    this.threads = threads;
    this.#memory = new NativeMemory(poolBytes({}));
    try {
      poolCreate({ memory: this.#memory, threads });
    } catch (error) {
      this.#memory[Symbol.dispose]();
      throw error;
    }
  }

  get address(): number {
    return this.#memory.address;
  }

  [Symbol.dispose](): void {
    if (this.#memory.disposed) return;
    poolDestroy({ pool: this.#memory });
    this.#memory[Symbol.dispose]();
  }
}
