/**
 * Python's `random.Random`: the Mersenne Twister (Matsumoto and Nishimura, 1998) and `sample` as CPython draws, so that few-shot
 * examples are the ones that lm-eval takes.
 */
const size = 624;
const period = 397;

export class PythonRandom {
  readonly #state = new Uint32Array(size);
  #index = size;

  /** @param seed a whole number from 0 to 2³² − 1. */
  constructor(seed: number) {
    this.#fill(19_650_218);
    const state = this.#state;
    let at = 1;
    for (let count = 0; count < size; count++) {
      const before = state[at - 1]! ^ (state[at - 1]! >>> 30);
      state[at] = (state[at]! ^ Math.imul(before, 1_664_525)) + seed;
      at = this.#next(at);
    }
    for (let count = 0; count < size - 1; count++) {
      const before = state[at - 1]! ^ (state[at - 1]! >>> 30);
      state[at] = (state[at]! ^ Math.imul(before, 1_566_083_941)) - at;
      at = this.#next(at);
    }
    state[0] = 0x8000_0000;
  }

  /** `count` different members of a list of `length`, as numbers, in the order in which Python draws them. */
  sample(length: number, count: number): number[] {
    if (count > length) throw new RangeError(`${count} of ${length}`);
    const setSize = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (length > setSize) {
      const drawn = new Set<number>();
      while (drawn.size < count) drawn.add(this.#below(length));
      return [...drawn];
    }
    const pool = Array.from({ length }, (_, at) => at);
    return Array.from({ length: count }, (_, drawn) => {
      const at = this.#below(length - drawn);
      const member = pool[at]!;
      pool[at] = pool[length - drawn - 1]!;
      return member;
    });
  }

  /** Uniform from 0 to `limit` − 1, limit at most 2³². */
  #below(limit: number): number {
    const bits = 32 - Math.clz32(limit);
    for (;;) {
      const number = this.#draw() >>> (32 - bits);
      if (number < limit) return number;
    }
  }

  #fill(seed: number): void {
    const state = this.#state;
    state[0] = seed;
    for (let at = 1; at < size; at++) {
      state[at] = Math.imul(state[at - 1]! ^ (state[at - 1]! >>> 30), 1_812_433_253) + at;
    }
  }

  /** The place after `at` in the seeding, which goes round and leaves out the first. */
  #next(at: number): number {
    if (at + 1 < size) return at + 1;
    this.#state[0] = this.#state[size - 1]!;
    return 1;
  }

  /** 32 random bits. */
  #draw(): number {
    if (this.#index === size) this.#twist();
    let y = this.#state[this.#index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let at = 0; at < size; at++) {
      const y = (state[at]! & 0x8000_0000) | (state[(at + 1) % size]! & 0x7fff_ffff);
      state[at] = state[(at + period) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908_b0df : 0);
    }
    this.#index = 0;
  }
}
