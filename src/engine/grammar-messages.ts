/** What passes between an engine and the thread of a grammar. */
import type { Grammar } from "./request.ts";

export type GrammarWorkerData = {
  grammar: Grammar;
  /** The bytes of all tokens, one behind the other, and where each begins; a token without text has none. */
  tokenBytes: Uint8Array;
  tokenOffsets: Int32Array;
  stopTokenIds: readonly number[];
};

/** `board` int32 [boardWords.mask + mask words]. */
export type ToGrammarWorker =
  | { type: "open"; id: number; board: Int32Array }
  | { type: "accept"; id: number; token: number }
  | { type: "close"; id: number };

export type FromGrammarWorker = { type: "ready" } | { type: "refused"; reason: string };

/** The words of a board: how many masks have been made (−1: it has failed), whether the text is complete, then the mask. */
export const boardWords = { masks: 0, complete: 1, mask: 2 } as const;
