/**
 * Who is read in the next step. Texts come in by age, as pages are free for all that is known of them; each that answers reads
 * the one token it has just got, and those that still read share a budget of rows: half of it goes to the oldest, so that a
 * long prompt gets on whatever comes after it, the rest to whoever has least left, so that a short one need not wait for it.
 * When pages run out, the youngest text loses its own and waits to be read again: its tokens stay.
 */
import { pageTokens } from "../tensor/ops/paged-attention.ts";
import type { PagePool } from "./page-pool.ts";
import type { PageMemory, PageTable } from "./pages.ts";
import type { Sequence } from "./sequence.ts";

/** Tokens [start, start + count) of a text, to be read in one step. */
export type Chunk = { sequence: Sequence; start: number; count: number };

/** While no text is being written nobody waits for a step's end, and longer ones read prompts a third faster. */
const rowsWhileNobodyWrites = 4;

/** So many that wait are looked at; the oldest may be passed over this often by younger ones that need less room. */
const lookAhead = 8;
const mostPasses = 32;

export class Scheduler {
  /** Both by age. */
  readonly waiting: Sequence[] = [];
  readonly running: Sequence[] = [];
  preemptions = 0;
  readonly #pool: PagePool;
  readonly #memory: PageMemory;
  readonly #table: PageTable;
  readonly #prefillTokens: number;
  readonly #freeSlots: number[];

  constructor(pool: PagePool, memory: PageMemory, table: PageTable, prefillTokens: number) {
    this.#pool = pool;
    this.#memory = memory;
    this.#table = table;
    this.#prefillTokens = prefillTokens;
    this.#freeSlots = Array.from({ length: table.slots }, (_, at) => table.slots - 1 - at);
  }

  /** Texts that wait and more than those that can be let in at once; below 0 while there is room for others. */
  get queued(): number {
    return this.waiting.length - this.#freeSlots.length;
  }

  /** A text that has no pages yet, or has none any more. */
  wait(sequence: Sequence): void {
    insertByAge(this.waiting, sequence);
  }

  /** Takes a text out of wherever it is, and gives its pages back. */
  remove(sequence: Sequence): void {
    removeFrom(this.waiting, sequence);
    if (removeFrom(this.running, sequence)) this.#freeSlots.push(sequence.slot);
    sequence.slot = -1;
    this.#releasePages(sequence);
  }

  /** The chunks of the next step, one a text: first the texts that answer, then those that still read. None if nothing waits. */
  plan(): Chunk[] {
    // by index, because a text that grows may take the pages of those at the end
    for (let at = 0; at < this.running.length; at++) this.#grow(this.running[at]!);
    this.#admit();
    for (const sequence of this.running) if (sequence.unread > 1) this.#adoptPrefix(sequence);
    const answering = this.running.filter(({ unread }) => unread === 1);
    const reading = this.running.filter(({ unread }) => unread > 1);
    return [
      ...answering.map((sequence) => ({ sequence, start: sequence.read, count: 1 })),
      ...this.#shareRows(reading, this.#prefillTokens * (answering.length === 0 ? rowsWhileNobodyWrites : 1)),
    ];
  }

  /** After a step: the keys and values of a chunk are in its pages. */
  hasRead({ sequence, start, count }: Chunk): void {
    sequence.read += count;
    for (let page = Math.floor(start / pageTokens); (page + 1) * pageTokens <= sequence.read; page++) {
      this.#pool.remember(sequence.pages[page]!, sequence.pageKey(page));
    }
  }

  /**
   * Lets `sequence` go on from what `from` has read, which is all of the same prompt: they share its whole pages, and the last
   * is copied. Without room it waits, and is read as far as no page of it is found again.
   */
  fork(from: Sequence, sequence: Sequence): void {
    const shared = Math.floor(from.read / pageTokens);
    const own = sequence.pagesNeeded - shared;
    if (this.#freeSlots.length === 0 || this.#pool.available < own + this.running.length) {
      this.wait(sequence);
      return;
    }
    for (const page of from.pages.slice(0, shared)) {
      this.#pool.share(page);
      sequence.pages.push(page);
    }
    for (let count = 0; count < own; count++) sequence.pages.push(this.#pool.take()!);
    if (from.read % pageTokens > 0) this.#memory.copy(from.pages[shared]!, sequence.pages[shared]!);
    sequence.read = from.read;
    this.#enter(sequence);
  }

  /** All texts that have pages lose them, and are read again. */
  preemptAll(): void {
    while (this.running.length > 0) this.#preempt(this.running.at(-1)!);
  }

  #admit(): void {
    let at = 0;
    while (at < Math.min(this.waiting.length, lookAhead) && this.#freeSlots.length > 0) {
      const sequence = this.waiting[at]!;
      if (this.#reserve(sequence)) {
        this.waiting.splice(at, 1);
        for (let before = 0; before < at; before++) this.waiting[before]!.passedOver++;
        this.#enter(sequence);
      } else if (sequence.passedOver >= mostPasses) return;
      else at++;
    }
  }

  /** Gets pages for all known tokens, if as many stay free as there are texts that may soon want one. */
  #reserve(sequence: Sequence): boolean {
    this.#adoptPrefix(sequence);
    const missing = sequence.pagesNeeded - sequence.pages.length;
    if (missing + this.running.length > this.#pool.available) {
      this.#releasePages(sequence);
      return false;
    }
    for (let count = 0; count < missing; count++) sequence.pages.push(this.#pool.take()!);
    return true;
  }

  #enter(sequence: Sequence): void {
    sequence.slot = this.#freeSlots.pop()!;
    sequence.passedOver = 0;
    this.#table.set(sequence.slot, 0, sequence.pages);
    insertByAge(this.running, sequence);
  }

  /** A page more where the newest token needs one. It may cost another text all of its pages, or this one its own. */
  #grow(sequence: Sequence): void {
    while (sequence.pages.length < sequence.pagesNeeded) {
      const page = this.#pool.take();
      if (page !== undefined) {
        this.#table.set(sequence.slot, sequence.pages.length, [page]);
        sequence.pages.push(page);
        continue;
      }
      const youngest = this.running.at(-1)!;
      this.#preempt(youngest);
      if (youngest === sequence) return;
    }
  }

  #preempt(sequence: Sequence): void {
    this.remove(sequence);
    this.preemptions++;
    this.wait(sequence);
  }

  /** Where the next page to read is known already, it need not be read; the last token always is, for its logits. */
  #adoptPrefix(sequence: Sequence): void {
    if (sequence.read % pageTokens !== 0) return;
    const { mostAdopted } = sequence.task;
    while (sequence.unread > pageTokens && sequence.read + pageTokens <= mostAdopted) {
      const at = sequence.read / pageTokens;
      const page = this.#pool.find(sequence.pageKey(at));
      if (page === undefined) return;
      const instead = sequence.pages[at];
      if (instead !== undefined) this.#pool.release(instead);
      sequence.pages[at] = page;
      if (sequence.slot >= 0) this.#table.set(sequence.slot, at, [page]);
      sequence.read += pageTokens;
      if (!sequence.task.isPromptRead) sequence.task.cachedTokens = sequence.read;
    }
  }

  #releasePages(sequence: Sequence): void {
    // the last first: of pages that are kept, those behind others go before them
    for (let page = sequence.pages.pop(); page !== undefined; page = sequence.pages.pop()) this.#pool.release(page);
    sequence.read = 0;
    if (!sequence.task.isPromptRead) sequence.task.cachedTokens = 0;
  }

  #shareRows(reading: Sequence[], most: number): Chunk[] {
    const rows = new Map<Sequence, number>();
    let left = most;
    const give = (order: readonly Sequence[], share: number) => {
      let budget = Math.min(share, left);
      for (const sequence of order) {
        if (budget === 0) return;
        const got = rows.get(sequence) ?? 0;
        const count = Math.min(budget, sequence.unread - got);
        if (count === 0) continue;
        rows.set(sequence, got + count);
        budget -= count;
        left -= count;
      }
    };
    give(reading, Math.ceil(left / 2));
    give(
      [...reading].sort((a, b) => a.unread - b.unread),
      left,
    );
    return [...rows].map(([sequence, count]) => ({ sequence, start: sequence.read, count }));
  }
}

function insertByAge(sequences: Sequence[], sequence: Sequence): void {
  let at = sequences.length;
  while (at > 0 && sequence.isOlderThan(sequences[at - 1]!)) at--;
  sequences.splice(at, 0, sequence);
}

function removeFrom(sequences: Sequence[], sequence: Sequence): boolean {
  const at = sequences.indexOf(sequence);
  if (at >= 0) sequences.splice(at, 1);
  return at >= 0;
}
