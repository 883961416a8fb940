import type { EngineInfo } from "../engine/request.ts";

/** What one client, and all of them together, may ask for at most. */
export type Limits = {
  /** Bytes of a request's body. */
  bodyBytes: number;
  /** Bytes of all bodies that are being read and made into tokens at one moment. */
  bodyBytesInFlight: number;
  /** Requests that are being worked on at one moment, whatever for; the engine has a queue of its own. */
  requestsInFlight: number;
  /** Objects and lists inside each other in a body. */
  jsonDepth: number;
  /** Bytes that wait for a reader of a stream; a reader further behind is cut off. */
  streamBufferBytes: number;
  /** The same for a stream with the expert view, whose events are many times as large. */
  expertStreamBufferBytes: number;
  /** Silence in a stream before a comment shows that the server is there. */
  pingMilliseconds: number;
};

export function defaultLimits(info: EngineInfo): Limits {
  // Text takes 4 to 5 bytes a token, a list of ids 7, a batch of prompts several times that.
  const bodyBytes = Math.max(4 * 2 ** 20, 32 * info.maxModelLength);
  return {
    bodyBytes,
    bodyBytesInFlight: 16 * bodyBytes,
    requestsInFlight: 1024,
    jsonDepth: 64,
    streamBufferBytes: 2 ** 20,
    expertStreamBufferBytes: 16 * 2 ** 20,
    pingMilliseconds: 5000,
  };
}

/** Limits of single fields. */
export const mostAnswers = 16;
export const mostPrompts = 256;
export const mostMessages = 4096;
export const mostStops = 32;
export const longestStop = 256;
export const mostBiases = 1024;
export const mostTopLogprobs = 20;
export const largestGrammarBytes = 2 ** 16;
/** Entries of the expert view in one event of a stream. */
export const mostExpertsInChunk = 32;
