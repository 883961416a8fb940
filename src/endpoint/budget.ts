/** What requests may take in all, in tokens and in money: nothing is sent that might not fit. */
import { RookeryError } from "../base/errors.ts";

/** `money` is in the currency of the prices. */
export type Usage = { promptTokens: number; answerTokens: number; money: number };

export type BudgetLimits = { tokens?: number | undefined; money?: number | undefined };

export class Budget {
  readonly #limits: BudgetLimits;
  #spent: { tokens: number; money: number };
  #reserved = { tokens: 0, money: 0 };
  #reservations = 0;
  #settled: (() => void)[] = [];

  /** @param spent what was spent before, by earlier runs of the same work. */
  constructor(limits: BudgetLimits, spent: Usage = { promptTokens: 0, answerTokens: 0, money: 0 }) {
    this.#limits = limits;
    this.#spent = totalOf(spent);
  }

  get spent(): Readonly<{ tokens: number; money: number }> {
    return this.#spent;
  }

  /**
   * Holds the most that a request may take. Waits while only what others hold stands in the way: they mostly take less.
   * @returns gives back what was held, and takes what the request really took (undefined: nothing).
   * @throws RookeryError BUDGET_SPENT
   */
  async reserve(most: Usage): Promise<(used: Usage | undefined) => void> {
    const held = totalOf(most);
    while (!this.#fits(held)) {
      if (this.#reservations === 0) throw this.#spentError();
      await new Promise<void>((resolve) => this.#settled.push(resolve));
    }
    this.#add(this.#reserved, held, 1);
    this.#reservations += 1;
    return (used) => {
      this.#add(this.#reserved, held, -1);
      this.#reservations -= 1;
      // sums of money leave a rest behind
      if (this.#reservations === 0) this.#reserved = { tokens: 0, money: 0 };
      if (used) this.#add(this.#spent, totalOf(used), 1);
      const waiting = this.#settled;
      this.#settled = [];
      for (const wake of waiting) wake();
    };
  }

  #fits(held: { tokens: number; money: number }): boolean {
    const { tokens = Number.POSITIVE_INFINITY, money = Number.POSITIVE_INFINITY } = this.#limits;
    return (
      this.#spent.tokens + this.#reserved.tokens + held.tokens <= tokens &&
      this.#spent.money + this.#reserved.money + held.money <= money
    );
  }

  #add(to: { tokens: number; money: number }, what: { tokens: number; money: number }, sign: 1 | -1): void {
    to.tokens += sign * what.tokens;
    to.money += sign * what.money;
  }

  #spentError(): RookeryError {
    const { tokens, money } = this.#limits;
    const parts = [
      ...(tokens === undefined ? [] : [`${this.#spent.tokens} of ${tokens} tokens`]),
      ...(money === undefined ? [] : [`${Number(this.#spent.money.toFixed(4))} of ${money} in money`]),
    ];
    return new RookeryError(
      "BUDGET_SPENT",
      `the budget is spent (${parts.join(", ")}): the next request might not fit`,
      "raise the budget and go on with --resume; what is finished is kept",
    );
  }
}

function totalOf({ promptTokens, answerTokens, money }: Usage): { tokens: number; money: number } {
  return { tokens: promptTokens + answerTokens, money };
}
