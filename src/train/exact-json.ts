/** What JSON can hold without losing anything. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue | undefined };

/**
 * Checks that a value survives JSON unchanged, since a run must resume to the bit: no NaN, no infinity, no -0, no bigint,
 * no typed array, no class instance. Keys whose value is undefined are simply absent. Returns the value; throws TypeError
 * (a fault of the program) with the path of the first offender.
 */
export function exactJson(value: unknown, where: string): JsonValue {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new TypeError(`${where} holds half of a character`);
    return value;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value) || Object.is(value, -0)) {
      throw new TypeError(`${where} is ${Object.is(value, -0) ? "-0" : value}, which JSON would change`);
    }
    return value;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) exactJson(value[index], `${where}[${index}]`);
    return value as JsonValue[];
  }
  if (
    typeof value === "object" &&
    (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null)
  ) {
    for (const [key, member] of Object.entries(value)) {
      if (member !== undefined) exactJson(member, `${where}.${key}`);
    }
    return value as JsonObject;
  }
  const shown = typeof value === "object" ? (value.constructor?.name ?? "an object") : typeof value;
  throw new TypeError(`${where} is ${shown}, which JSON would change`);
}
