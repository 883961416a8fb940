/** Draws for a task: each is the next number of a stream that the task's name fixes, so that a task can be made again by itself. */
import { below, type StreamKeys, shuffled, streamKeys } from "../base/random.ts";

export class Draws {
  readonly #keys: StreamKeys;
  #next = 0;

  /** @param parts name the stream, as in `streamKeys`. */
  constructor(seed: number, ...parts: readonly (number | string)[]) {
    this.#keys = streamKeys(seed, ...parts);
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + below(most - least + 1, this.#keys, this.#next++);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.between(0, items.length - 1)]!;
  }

  /** `count` different items, in random order. */
  sample<Item>(items: readonly Item[], count: number): Item[] {
    if (count > items.length) throw new RangeError(`${count} different items of ${items.length}`);
    const order = shuffled(items.length, [this.#keys[0] ^ this.#next++, this.#keys[1]]);
    return Array.from(order.subarray(0, count), (index) => items[index]!);
  }

  shuffle<Item>(items: readonly Item[]): Item[] {
    return this.sample(items, items.length);
  }
}
