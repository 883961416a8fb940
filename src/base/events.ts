/** What long work tells whoever watches it. Below `cli/` nothing prints: it calls `onEvent`. */
export type RookeryEvent =
  | {
      /** Work of a known or unknown length moves on. */
      type: "progress";
      /** What is being done, as shown to a person: "training the tokenizer". */
      what: string;
      done: number;
      total?: number;
      /** Plural noun of `done` and `total`: "tokens", "bytes", "documents". */
      unit: string;
    }
  | { type: "note"; message: string }
  | { type: "warning"; message: string };

/** The second argument of every command function. */
export type CommandContext<Event = RookeryEvent> = {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: Event) => void) | undefined;
};
