/** How fast one server may be asked: requests at once, requests and tokens a minute, and the pauses that it asks for itself. */
import type { Clock } from "./clock.ts";

export type PaceLimits = {
  concurrency: number;
  requestsPerMinute: number | undefined;
  tokensPerMinute: number | undefined;
};

const minuteMs = 60_000;

export class Pace {
  readonly #limits: PaceLimits;
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  /** When the next request may leave by each limit. Even spacing keeps to a limit in every window, not only on average. */
  #nextByRequests = 0;
  #nextByTokens = 0;
  #pausedUntil = 0;

  constructor(limits: PaceLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Waits for one of the places, which must be given back by `leave`. First come, first served. */
  async enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#busy < this.#limits.concurrency) {
      this.#busy += 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      const stop = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", stop, { once: true });
      this.#waiting.push(enter);
    });
  }

  leave(): void {
    const next = this.#waiting.shift();
    // the place goes on to the next without becoming free
    if (next) next();
    else this.#busy -= 1;
  }

  /** Waits until a request of about `tokens` may leave. */
  async turn(tokens: number, signal: AbortSignal | undefined): Promise<void> {
    const { requestsPerMinute, tokensPerMinute } = this.#limits;
    const now = this.#clock.now();
    const at = Math.max(
      now,
      requestsPerMinute === undefined ? 0 : this.#nextByRequests,
      tokensPerMinute === undefined ? 0 : this.#nextByTokens,
    );
    if (requestsPerMinute !== undefined) this.#nextByRequests = at + minuteMs / requestsPerMinute;
    if (tokensPerMinute !== undefined) this.#nextByTokens = at + (minuteMs * tokens) / tokensPerMinute;
    if (at > now) await this.#clock.sleep(at - now, signal);
    // a pause may begin, or grow, while one waits
    for (let wait = this.#pauseLeft(); wait > 0; wait = this.#pauseLeft()) await this.#clock.sleep(wait, signal);
  }

  /** Puts right what `turn` was told, once the server has counted. */
  correct(estimatedTokens: number, tokens: number): void {
    const { tokensPerMinute } = this.#limits;
    if (tokensPerMinute !== undefined) this.#nextByTokens += (minuteMs * (tokens - estimatedTokens)) / tokensPerMinute;
  }

  /** Nothing leaves for so long. */
  pause(milliseconds: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + milliseconds);
  }

  #pauseLeft(): number {
    return this.#pausedUntil - this.#clock.now();
  }
}
