/** Reading the JSON body of a request: nothing larger, deeper or of another type than expected gets past here. */
import { ApiError, badRequest, overloaded } from "./errors.ts";
import type { Limits } from "./limits.ts";

/** Bytes of the bodies that are in memory at this moment, all requests together. */
export class BodyBudget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A part of the budget that grows with what is read, and is given back by `using`. */
  open(): { grow(bytes: number): void } & Disposable {
    let held = 0;
    return {
      grow: (bytes) => {
        if (this.#used + bytes > this.#limit) throw overloaded("too many large requests are being read; try again");
        this.#used += bytes;
        held += bytes;
      },
      [Symbol.dispose]: () => {
        this.#used -= held;
        held = 0;
      },
    };
  }
}

/**
 * Hands the body, a JSON object without its nulls (clients write null for what they do not set), to `use`. Its bytes count
 * against the budget until `use` is done with it.
 * @throws ApiError 400, 413, 415, 429
 */
export async function withJsonBody<Result>(
  request: Request,
  limits: Limits,
  budget: BodyBudget,
  use: (body: Record<string, unknown>) => Result | Promise<Result>,
): Promise<Result> {
  checkType(request.headers);
  using reservation = budget.open();
  const bytes = await readBytes(request, limits.bodyBytes, reservation);
  return await use(parseObject(bytes, limits.jsonDepth));
}

function checkType(headers: Headers): void {
  const type = headers.get("content-type") ?? "";
  // Also what keeps pages of other sites out: a browser sends this type only after it has asked, and is never answered.
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
    const given = type === "" ? "no Content-Type was sent" : `Content-Type is ${JSON.stringify(type.slice(0, 80))}`;
    throw new ApiError(415, `${given}; send application/json`, { code: "unsupported_media_type" });
  }
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    throw new ApiError(415, "compressed bodies are not read; send it plain", { code: "unsupported_media_type" });
  }
}

async function readBytes(
  request: Request,
  limit: number,
  reservation: { grow(bytes: number): void },
): Promise<Uint8Array> {
  const refuse = () =>
    new ApiError(413, `the body has more than ${limit} bytes; send less at once`, { code: "request_too_large" });
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > limit) throw refuse();
  if (request.body === null) return new Uint8Array(0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of request.body) {
    length += piece.length;
    if (length > limit) throw refuse();
    reservation.grow(piece.length);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function parseObject(bytes: Uint8Array, depthLimit: number): Record<string, unknown> {
  if (deeperThan(bytes, depthLimit)) throw badRequest(`the body nests deeper than ${depthLimit} levels`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw badRequest("the body is not JSON in UTF-8", null, "invalid_json");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("the body is not a JSON object", null, "invalid_json");
  }
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null));
}

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = Buffer.from('"\\[]{}');

/** Whether lists and objects lie deeper inside each other than `limit`, told before anything is built of them. */
export function deeperThan(json: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (inString) {
      if (byte === backslash) at++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (byte === openBracket || byte === openBrace) {
      if (++depth > limit) return true;
    } else if (byte === closeBracket || byte === closeBrace) depth--;
  }
  return false;
}
