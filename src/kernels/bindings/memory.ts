/** Native memory: an ArrayBuffer outside V8's heap, whose place never moves, given back when it is disposed of. */
import { platform } from "node:os";
import { RookeryError } from "../../base/errors.ts";
import { native } from "../native.ts";
import type { Addressed } from "./declare.ts";

const alignment = 64;
let liveBuffers = 0;
let liveBytes = 0;

/** How many buffers of native memory are alive, and their bytes: tests see both return to their start. */
export function liveMemory(): { buffers: number; bytes: number } {
  return { buffers: liveBuffers, bytes: liveBytes };
}

const hugePageBytes = 2 << 20;
const hugePageFrom = 2 * hugePageBytes;
let madvise: ((address: number, length: number, advice: number) => number) | undefined;

/** Asks Linux for pages of 2 MiB inside a block nobody has touched yet: kernels stride over it, and small pages cost them a fifth. */
function adviseHugePages(address: number, byteLength: number): void {
  if (platform() !== "linux") return;
  madvise ??= native().load(null).func("madvise", "int", ["uintptr_t", "size_t", "int"]);
  const first = Math.ceil(address / hugePageBytes) * hugePageBytes;
  const last = Math.floor((address + byteLength) / hugePageBytes) * hugePageBytes;
  const advice = 14; // MADV_HUGEPAGE; where it is refused, small pages do
  if (last > first) madvise(first, last - first, advice);
}

let isAllocatorSet = false;
const mappedFromBytes = 256 << 10;

/**
 * Has glibc map every large block on its own, so that what is freed goes back to the system. By itself it raises the limit
 * to 32 MiB as blocks are freed, and then keeps them in a heap with holes: hundreds of megabytes after a long first step.
 */
function setAllocator(): void {
  isAllocatorSet = true;
  if (platform() !== "linux") return;
  const mmapThreshold = -3;
  try {
    native().load(null).func("mallopt", "int", ["int", "int"])(mmapThreshold, mappedFromBytes);
  } catch {
    // another libc than glibc has no such limit to set
  }
}

/** A block of native memory, aligned to 64 bytes and zeroed. */
export class NativeMemory implements Addressed, Disposable {
  readonly byteLength: number;
  #buffer: ArrayBuffer | undefined;
  #start: number;
  #address: number;

  /** @throws RookeryError OUT_OF_MEMORY if the system does not have `byteLength` bytes. */
  constructor(byteLength: number) {
    if (!Number.isSafeInteger(byteLength) || byteLength < 0)
      throw new RangeError(`${byteLength} is no number of bytes`);
    this.byteLength = byteLength;
    if (!isAllocatorSet) setAllocator();
    try {
      this.#buffer = new ArrayBuffer(byteLength + alignment);
    } catch (error) {
      throw new RookeryError(
        "OUT_OF_MEMORY",
        `${(byteLength / 2 ** 30).toFixed(2)} GiB of memory are not to be had`,
        "take a smaller model or batch, or train with --recomputation block; `rookery info MODEL` tells what each needs",
        { cause: error },
      );
    }
    const base = Number(native().address(this.#buffer));
    this.#start = (alignment - (base % alignment)) % alignment;
    this.#address = base + this.#start;
    if (byteLength >= hugePageFrom) adviseHugePages(this.#address, byteLength);
    liveBuffers++;
    liveBytes += byteLength;
  }

  get disposed(): boolean {
    return this.#buffer === undefined;
  }

  /** @throws RookeryError DISPOSED after dispose. */
  get address(): number {
    this.#alive();
    return this.#address;
  }

  /** A view of `length` bytes from `offset`. It must not outlive the memory, nor leave the floor that owns it. */
  bytes(offset = 0, length = this.byteLength - offset): Uint8Array<ArrayBuffer> {
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!whole || offset < 0 || length < 0 || offset + length > this.byteLength) {
      throw new RangeError(`bytes ${offset}..${offset + length} lie outside a buffer of ${this.byteLength}`);
    }
    return new Uint8Array(this.#alive(), this.#start + offset, length);
  }

  [Symbol.dispose](): void {
    if (!this.#buffer) return;
    this.#buffer.transfer(0);
    this.#buffer = undefined;
    liveBuffers--;
    liveBytes -= this.byteLength;
  }

  #alive(): ArrayBuffer {
    if (!this.#buffer)
      throw new RookeryError(
        "DISPOSED",
        "native memory was used after it was given back",
        "keep its owner alive longer",
      );
    return this.#buffer;
  }
}
