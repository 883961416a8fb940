/**
 * Who holds which page of the cache. A page is free, in use (by as many sequences as share it), or kept: nobody uses it, but
 * it holds tokens that may come again, and it is found by their key until its room is needed.
 */
export class PagePool {
  readonly size: number;
  readonly #users: Int32Array;
  readonly #keys: (string | undefined)[];
  readonly #pageOf = new Map<string, number>();
  /** Kept pages, the one that was used longest ago first. */
  readonly #kept = new Set<number>();
  /** Free pages; the last is taken first, so that memory nobody has touched stays so. */
  readonly #free: number[];

  constructor(size: number) {
    this.size = size;
    this.#users = new Int32Array(size);
    this.#keys = new Array<string | undefined>(size).fill(undefined);
    this.#free = Array.from({ length: size }, (_, at) => size - 1 - at);
  }

  get inUse(): number {
    return this.size - this.#free.length - this.#kept.size;
  }

  get kept(): number {
    return this.#kept.size;
  }

  get free(): number {
    return this.#free.length;
  }

  /** Pages that `take` can give. */
  get available(): number {
    return this.#free.length + this.#kept.size;
  }

  /** A page of unknown contents with one user, or undefined when all are in use. */
  take(): number | undefined {
    const page = this.#free.pop() ?? this.#evict();
    if (page !== undefined) this.#users[page] = 1;
    return page;
  }

  /** One user more. */
  share(page: number): void {
    this.#users[page]!++;
  }

  /** One user less; after the last the page is kept if it has a key. */
  release(page: number): void {
    if (this.#users[page]! <= 0) throw new Error(`page ${page} was released more often than it was taken`);
    if (--this.#users[page]! > 0) return;
    if (this.#keys[page] === undefined) this.#free.push(page);
    else this.#kept.add(page);
  }

  /** The page of this key, with one user more. */
  find(key: string): number | undefined {
    const page = this.#pageOf.get(key);
    if (page === undefined) return undefined;
    this.#kept.delete(page);
    this.#users[page]!++;
    return page;
  }

  /** From now on `page`, which is in use and whole, is found by `key`, unless another is already. */
  remember(page: number, key: string): void {
    if (this.#keys[page] !== undefined || this.#pageOf.has(key)) return;
    this.#keys[page] = key;
    this.#pageOf.set(key, page);
  }

  /** No page is found by a key any more. */
  forgetKeys(): void {
    this.#pageOf.clear();
    this.#keys.fill(undefined);
    for (const page of this.#kept) this.#free.push(page);
    this.#kept.clear();
  }

  #evict(): number | undefined {
    const { value: page } = this.#kept.values().next();
    if (page === undefined) return undefined;
    this.#kept.delete(page);
    this.#pageOf.delete(this.#keys[page]!);
    this.#keys[page] = undefined;
    return page;
  }
}
