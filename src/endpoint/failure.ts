/** What can go wrong with a server, sorted by what one does about it. */
import { RookeryError } from "../base/errors.ts";

/**
 * - `busy`: too many requests; to be sent again when the server says, or a little later.
 * - `passing`: no connection, a time-out, a fault of the server: to be sent again.
 * - `refused`: this request will never be answered (too long, a field that the server does not know).
 * - `malformed`: there is an answer, and it is not what was asked for.
 * - `fatal`: no request will be answered (a wrong key, no such model, an account without money).
 */
export type FailureKind = "busy" | "passing" | "refused" | "malformed" | "fatal";

export class EndpointFailure extends RookeryError {
  readonly kind: FailureKind;
  readonly status: number | undefined;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    hint: string,
    details: { status?: number; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super("ENDPOINT_FAILED", message, hint, { cause: details.cause });
    this.name = "EndpointFailure";
    this.kind = kind;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** @param errorCode OpenAI's `error.code` or `error.type`, where the server sends one. */
export function kindOfStatus(status: number, errorCode: string | undefined): FailureKind {
  if (status === 429) return errorCode === "insufficient_quota" ? "fatal" : "busy";
  if (status === 503 || status === 529) return "busy";
  if (status < 400) return "fatal";
  if (status >= 500 || status === 408 || status === 409 || status === 425) return "passing";
  if (status === 401 || status === 402 || status === 403 || status === 404) return "fatal";
  return "refused";
}

/** What `Retry-After` (seconds or a date) or `retry-after-ms` says, in milliseconds from `nowMs`. */
export function retryAfterOf(headers: Headers, nowMs: number): number | undefined {
  const milliseconds = headers.get("retry-after-ms");
  if (milliseconds !== null && /^\d+(\.\d+)?$/.test(milliseconds)) return Math.ceil(Number(milliseconds));
  const after = headers.get("retry-after");
  if (after === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(after)) return Math.ceil(Number(after) * 1000);
  const at = Date.parse(after);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
