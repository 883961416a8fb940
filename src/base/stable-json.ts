import { createHash } from "node:crypto";

/** JSON in which objects that are equal read the same: keys in the order of their code units. */
export function stableJson(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** The name under which the answer to a request is remembered: equal requests (model, prompt, sampling, seed) have equal keys. */
export function requestKey(request: unknown): string {
  return createHash("sha256").update(stableJson(request)).digest("hex");
}
