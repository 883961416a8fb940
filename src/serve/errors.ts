/** What goes wrong with a request, in the shape and with the codes of OpenAI's API, which clients sort errors by. */
import { RookeryError } from "../base/errors.ts";

export type ApiErrorType = "invalid_request_error" | "rate_limit_error" | "server_error";

export type ApiStatus = 400 | 401 | 403 | 404 | 405 | 413 | 415 | 429 | 500 | 503;

type Details = { code?: string; param?: string | null; headers?: Record<string, string> };

export class ApiError extends Error {
  readonly status: ApiStatus;
  readonly type: ApiErrorType;
  readonly code: string | null;
  /** The field of the request that is at fault. */
  readonly param: string | null;
  readonly headers: Record<string, string>;

  constructor(status: ApiStatus, message: string, details: Details = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.type = status === 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
    this.code = details.code ?? null;
    this.param = details.param ?? null;
    this.headers = details.headers ?? {};
  }

  /** The body of the answer, and the data of an error event in a stream. */
  toJSON(): object {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

export function badRequest(message: string, param: string | null = null, code = "invalid_value"): ApiError {
  return new ApiError(400, message, { param, code });
}

/** Seconds after which a client may try again. Clients obey it, and 0 would make them hammer. */
const retryAfter = { "Retry-After": "1" };

export function overloaded(message: string): ApiError {
  return new ApiError(429, message, { code: "rate_limit_exceeded", headers: retryAfter });
}

export function unavailable(message: string): ApiError {
  return new ApiError(503, message, { code: "service_unavailable", headers: { ...retryAfter, Connection: "close" } });
}

/** What an error of the engine or of the program means to the client. A fault of ours says nothing of its inside. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof RookeryError) {
    const message = `${error.message}; ${error.hint}`;
    switch (error.code) {
      case "INVALID_OPTION":
      case "UNKNOWN_OPTION":
      case "BAD_DATA":
      case "UNSUPPORTED_MODEL":
        return badRequest(message);
      case "OVERLOADED":
        return overloaded(message);
      case "OUT_OF_MEMORY":
      case "DISPOSED":
      case "ENGINE_STOPPED":
        return unavailable(message);
      case "NON_FINITE":
        return new ApiError(500, message, { code: "model_error" });
      default:
        break;
    }
  }
  return new ApiError(500, "the server failed; its log says why", { code: "internal_error" });
}
