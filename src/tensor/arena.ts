/**
 * The memory of one step: a single block in which pieces are born and die. A tensor lives until its scope has ended and
 * nothing recorded needs it; gradients and scratch are borrowed and given back. What dies makes room within the step.
 */
import { RookeryError } from "../base/errors.ts";
import { NativeMemory } from "../kernels/bindings/memory.ts";
import { FreeSpace } from "./free-space.ts";
import { bytesPerElement, type Dtype, elementsOf, type Place, Tensor } from "./tensor.ts";

const alignment = 64;

/** A tensor on loan: `using` or `giveBack` returns its room to the arena. */
export class Loan implements Disposable {
  readonly tensor: Tensor;
  readonly #giveBack: () => void;

  constructor(tensor: Tensor, giveBack: () => void) {
    this.tensor = tensor;
    this.#giveBack = giveBack;
  }

  [Symbol.dispose](): void {
    this.#giveBack();
  }
}

type Piece = Place & {
  /** Where it lies in the block. */
  offset: number;
  /** Set while it does not fit the block, and has memory to itself. */
  own: NativeMemory | undefined;
  /** How many recorded ops need it for their way back. */
  holds: number;
  /** Whether only what is recorded keeps it alive. */
  outOfScope: boolean;
  owner: Arena;
  /** Which of the arena's living pieces it is. */
  index: number;
};

/**
 * Grows while the first step shows how much is needed, and is one block of exactly that from then on. `reserve` gives it the
 * block at once.
 */
export class Arena implements Disposable {
  readonly #isPlanned: boolean;
  #space = new FreeSpace();
  #block: NativeMemory | undefined;
  /** Those alive, in no order. */
  readonly #pieces: Piece[] = [];
  #scopes: Piece[][] = [];
  #ownBytes = 0;
  #peakBytes = 0;
  #isDisposed = false;

  /** @param isPlanned only count: its tensors have no memory, and kernels pass over them. */
  constructor({ isPlanned = false }: { isPlanned?: boolean } = {}) {
    this.#isPlanned = isPlanned;
  }

  /** The size of the block that the largest step so far needs. */
  get peakBytes(): number {
    return Math.max(this.#peakBytes, this.#space.peak);
  }

  /** Bytes of native memory that it holds now. */
  get heldBytes(): number {
    return (this.#block?.byteLength ?? 0) + this.#ownBytes;
  }

  /** Makes the block at least `bytes` large. Between steps only. */
  reserve(bytes: number): void {
    if (this.#pieces.length > 0) throw new Error("an arena cannot move while a step is under way");
    if (this.#isPlanned || bytes <= (this.#block?.byteLength ?? 0)) return;
    this.#block?.[Symbol.dispose]();
    this.#block = undefined;
    this.#block = new NativeMemory(bytes);
  }

  /** A tensor that lives as long as its scope, or as something recorded needs it. Its contents are whatever was there before. */
  tensor(dtype: Dtype, ...shape: number[]): Tensor {
    const piece = this.#place(elementsOf(shape) * bytesPerElement[dtype]);
    this.#scopes.at(-1)?.push(piece);
    return new Tensor(dtype, shape, piece);
  }

  /** A tensor that lives until it is given back, or until `reset`. */
  borrow(dtype: Dtype, ...shape: number[]): Loan {
    const piece = this.#place(elementsOf(shape) * bytesPerElement[dtype]);
    return new Loan(new Tensor(dtype, shape, piece), () => this.#end(piece));
  }

  /** Scratch of `byteLength` bytes, on loan. */
  scratch(byteLength: number): Loan {
    return this.borrow("f32", Math.max(1, Math.ceil(byteLength / 4)));
  }

  /** An i32 tensor with the given contents. */
  integers(values: Int32Array, ...shape: number[]): Tensor {
    const tensor = this.tensor("i32", ...(shape.length > 0 ? shape : [values.length]));
    tensor.setIntegers(values);
    return tensor;
  }

  /**
   * Runs `body`; what it made then dies unless it is held, or `keep` names it, and then it lives in the scope around this one.
   * Outside all scopes tensors live until `reset`.
   */
  scope<Result>(body: () => Result, keep: (result: Result) => readonly Tensor[]): Result {
    const made: Piece[] = [];
    this.#scopes.push(made);
    try {
      const result = body();
      const kept = keep(result);
      const around = this.#scopes.at(-2);
      for (const piece of made) {
        if (kept.some(({ place }) => place === piece)) around?.push(piece);
        else this.#leaveScope(piece);
      }
      return result;
    } finally {
      this.#scopes.pop();
    }
  }

  /** Keeps tensors of this arena alive for something that is recorded; others are left alone. */
  hold(tensors: readonly Tensor[]): void {
    for (const { place } of tensors) {
      const piece = this.#pieceOf(place);
      if (piece) piece.holds++;
    }
  }

  /** Undoes `hold`; what nobody needs any more dies. */
  letGo(tensors: readonly Tensor[]): void {
    for (const { place } of tensors) {
      const piece = this.#pieceOf(place);
      if (piece && --piece.holds === 0 && piece.outOfScope) this.#end(piece);
    }
  }

  /** Ends the step: every tensor of it is dead, and its memory is used again. */
  reset(): void {
    this.#endAll();
    const peak = this.#space.peak;
    this.#peakBytes = Math.max(this.#peakBytes, peak);
    this.#space = new FreeSpace();
    const held = this.#block?.byteLength ?? 0;
    // a step that is larger than the first comes in a row of such (a text that grows): leave it some room
    if (peak > held) this.reserve(held === 0 ? peak : roundUp(Math.ceil(peak * 1.05)));
  }

  [Symbol.dispose](): void {
    this.#endAll();
    this.#block?.[Symbol.dispose]();
    this.#block = undefined;
    this.#isDisposed = true;
  }

  #place(byteLength: number): Piece {
    if (this.#isDisposed) {
      throw new RookeryError("DISPOSED", "an arena was asked for room after it was given back", "keep it alive longer");
    }
    const bytes = roundUp(byteLength);
    const offset = this.#space.take(bytes);
    const piece: Piece = {
      memory: undefined,
      byteOffset: 0,
      byteLength: bytes,
      alive: true,
      offset,
      own: undefined,
      holds: 0,
      outOfScope: false,
      owner: this,
      index: this.#pieces.length,
    };
    if (this.#block && offset + bytes <= this.#block.byteLength) {
      piece.memory = this.#block;
      piece.byteOffset = offset;
    } else if (!this.#isPlanned) {
      piece.own = new NativeMemory(bytes);
      piece.memory = piece.own;
      this.#ownBytes += bytes;
    }
    this.#pieces.push(piece);
    return piece;
  }

  /** The living piece of this arena that a place is, if it is one. */
  #pieceOf(place: Place): Piece | undefined {
    return "owner" in place && place.owner === this && place.alive ? (place as Piece) : undefined;
  }

  #endAll(): void {
    for (let piece = this.#pieces.at(-1); piece; piece = this.#pieces.at(-1)) this.#end(piece);
  }

  #leaveScope(piece: Piece): void {
    piece.outOfScope = true;
    if (piece.holds === 0) this.#end(piece);
  }

  #end(piece: Piece): void {
    if (!piece.alive) return;
    piece.alive = false;
    const last = this.#pieces.pop()!;
    if (last !== piece) {
      this.#pieces[piece.index] = last;
      last.index = piece.index;
    }
    this.#space.give(piece.offset, piece.byteLength);
    if (!piece.own) return;
    piece.own[Symbol.dispose]();
    piece.own = undefined;
    this.#ownBytes -= piece.byteLength;
  }
}

function roundUp(bytes: number): number {
  return Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
}
