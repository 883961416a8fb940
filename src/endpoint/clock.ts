/** Time, as something that tests can hold still. */
export type Clock = {
  /** Milliseconds that never run backwards. */
  now(): number;
  /** @throws the signal's reason as soon as it is raised. */
  sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void>;
};

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: async (milliseconds, signal) => {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve();
      }, milliseconds);
      signal?.addEventListener("abort", stop, { once: true });
    });
  },
};
