/** Who may ask: API keys, and a guard against web pages that reach for a server on the visitor's own machine. */
import { createHash, timingSafeEqual } from "node:crypto";
import { ApiError } from "./errors.ts";

/** API keys, kept as digests: of equal length, so that comparing them takes the same time whatever was sent. */
export class ApiKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digestOf);
  }

  /**
   * Which key a request carries, as a name that does not give it away: one tenant a key. Undefined where no keys are asked for.
   * @throws ApiError 401
   */
  tenantOf(headers: Headers): string | undefined {
    if (this.#digests.length === 0) return undefined;
    const presented = presentedKey(headers.get("authorization") ?? "");
    const digest = digestOf(presented ?? "");
    let found: Buffer | undefined;
    // Every key is compared, so that the time does not tell which one was close.
    for (const one of this.#digests) if (timingSafeEqual(one, digest)) found = one;
    if (presented !== undefined && found !== undefined) return found.toString("hex", 0, 8);
    throw unauthorized(presented === undefined, headers);
  }
}

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** `Bearer KEY` of programs, or `Basic` with the key as password, which browsers ask for by themselves. */
function presentedKey(authorization: string): string | undefined {
  const [, scheme, value] = /^\s*(Bearer|Basic)\s+(\S+)\s*$/i.exec(authorization) ?? [];
  if (scheme === undefined || value === undefined) return undefined;
  if (scheme.toLowerCase() === "bearer") return value;
  const decoded = Buffer.from(value, "base64").toString("utf8");
  const colon = decoded.indexOf(":");
  return colon === -1 ? undefined : decoded.slice(colon + 1);
}

function unauthorized(isMissing: boolean, headers: Headers): ApiError {
  // Only for pages: a program that gets "Basic" might ask its user for a password.
  const isPage = headers.get("accept")?.includes("text/html") ?? false;
  const message = isMissing
    ? "no API key was sent; send the header Authorization: Bearer KEY"
    : "the API key is wrong; ask the operator of this server for one";
  return new ApiError(401, message, {
    code: "invalid_api_key",
    headers: { "WWW-Authenticate": isPage ? 'Basic realm="rookery", charset="UTF-8"' : 'Bearer realm="rookery"' },
  });
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/**
 * A page of another site may make its own name point to 127.0.0.1 and then talk to this server as if it were that site (DNS
 * rebinding). The browser still says in `Host` which name it went to.
 * @throws ApiError 403
 */
export function checkHost(hostHeader: string | undefined): void {
  // Without a port; a name in brackets is an IPv6 address.
  const name = (hostHeader ?? "").replace(/:\d+$/, "").toLowerCase();
  if (isLoopback(name)) return;
  throw new ApiError(403, "this server answers only to localhost; start it with an API key to open it to other names", {
    code: "forbidden_host",
  });
}
