/** Where pieces go in one stretch of memory: the smallest gap that is large enough, neighbouring gaps joined. */

type Gap = { offset: number; bytes: number };

export class FreeSpace {
  /** Ordered by offset, no two touching, none reaching `#end`. */
  readonly #gaps: Gap[] = [];
  #end = 0;
  #peak = 0;

  /** The end of the furthest piece that there has been. */
  get peak(): number {
    return this.#peak;
  }

  /** The offset of a new piece of `bytes` > 0. */
  take(bytes: number): number {
    let best = -1;
    for (let i = 0; i < this.#gaps.length; i++) {
      const size = this.#gaps[i]!.bytes;
      if (size >= bytes && (best < 0 || size < this.#gaps[best]!.bytes)) best = i;
    }
    if (best < 0) {
      const offset = this.#end;
      this.#end += bytes;
      this.#peak = Math.max(this.#peak, this.#end);
      return offset;
    }
    const gap = this.#gaps[best]!;
    const { offset } = gap;
    gap.offset += bytes;
    gap.bytes -= bytes;
    if (gap.bytes === 0) this.#gaps.splice(best, 1);
    return offset;
  }

  /** Gives back what `take` gave. */
  give(offset: number, bytes: number): void {
    let at = this.#gaps.length;
    while (at > 0 && this.#gaps[at - 1]!.offset > offset) at--;
    const [before, after] = [this.#gaps[at - 1], this.#gaps[at]];
    const joinsBefore = before !== undefined && before.offset + before.bytes === offset;
    const joinsAfter = after !== undefined && offset + bytes === after.offset;
    const gap = joinsBefore ? before : { offset, bytes: 0 };
    gap.bytes += bytes + (joinsAfter ? after.bytes : 0);
    this.#gaps.splice(at - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), gap);
    if (gap.offset + gap.bytes === this.#end) {
      this.#end = gap.offset;
      this.#gaps.pop();
    }
  }
}
