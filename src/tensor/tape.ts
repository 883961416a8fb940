/**
 * The tape of reverse-mode differentiation. It is eager: an op has run its forward kernel when it records the closure that
 * runs its backward kernel. Gradients of activations live on loan from the arena: the first consumer's backward makes one,
 * later ones add to it, and it goes back when the op that produced the activation has used it.
 */
import { type Arena, Loan } from "./arena.ts";
import type { Tensor } from "./tensor.ts";

type Entry = { backward: () => void; needs: readonly Tensor[] };

export class Tape {
  readonly #arena: Arena;
  readonly #entries: Entry[] = [];
  readonly #gradients = new Map<Tensor, Loan>();

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /**
   * Remembers how to go back through an op; ops run backward in the reverse of this order.
   * @param needs what `backward` reads of what was there forward; it stays alive until then.
   */
  record(needs: readonly (Tensor | null)[], backward: () => void): void {
    const tensors = needs.filter((tensor) => tensor !== null);
    this.#arena.hold(tensors);
    this.#entries.push({ backward, needs: tensors });
  }

  /** Runs everything recorded, last first, and forgets it. */
  runBackward(): void {
    for (let entry = this.#entries.pop(); entry; entry = this.#entries.pop()) {
      entry.backward();
      this.#arena.letGo(entry.needs);
    }
    for (const loan of this.#gradients.values()) loan[Symbol.dispose]();
    this.#gradients.clear();
  }

  /**
   * The gradient of an op's output, now the caller's to give back (`using`), or undefined if nothing downstream needed it.
   */
  take(output: Tensor): Loan | undefined {
    const loan = this.#gradients.get(output);
    this.#gradients.delete(output);
    return loan;
  }

  /**
   * Where an op's backward puts the gradient of its input: `accumulate` is 1 if another consumer has been there, and then
   * the kernel must add; 0 if it must overwrite.
   */
  gradientOf(input: Tensor): { tensor: Tensor; accumulate: 0 | 1 } {
    const there = this.#gradients.get(input);
    if (there) return { tensor: there.tensor, accumulate: 1 };
    const loan = this.#arena.borrow(input.dtype, ...input.shape);
    this.#gradients.set(input, loan);
    return { tensor: loan.tensor, accumulate: 0 };
  }

  /** The same for kernels that can only add: a fresh gradient is zeroed first. */
  zeroedGradientOf(input: Tensor): Tensor {
    const { tensor, accumulate } = this.gradientOf(input);
    if (!accumulate) tensor.zero();
    return tensor;
  }

  /**
   * The same for kernels that can only overwrite: where another consumer has been, the gradient is made beside its own and
   * joined to it by `add` when the caller is done (`using`).
   */
  overwritableGradientOf(input: Tensor, add: (from: Tensor, to: Tensor) => void): Loan {
    const { tensor, accumulate } = this.gradientOf(input);
    if (!accumulate) return new Loan(tensor, () => {});
    const beside = this.#arena.borrow(input.dtype, ...input.shape);
    return new Loan(beside.tensor, () => {
      add(beside.tensor, tensor);
      beside[Symbol.dispose]();
    });
  }

  /**
   * Hands a whole gradient on to `input` (a residual connection): without a copy where it is the first, else by `add`.
   */
  pass(input: Tensor, loan: Loan, add: (from: Tensor, to: Tensor) => void): void {
    const there = this.#gradients.get(input);
    if (!there) {
      this.#gradients.set(input, loan);
      return;
    }
    add(loan.tensor, there.tensor);
    loan[Symbol.dispose]();
  }
}
