import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { didYouMean } from "../base/nearest.ts";

const absent = Symbol("absent");

/**
 * Reads the keys of somebody's config.json one by one and remembers which it was asked for, so that `finish` can refuse
 * the rest: a key that is not understood may change what the model computes.
 */
export class ConfigReader {
  private readonly values: Readonly<Record<string, unknown>>;
  private readonly file: string;
  private readonly known = new Set<string>();

  constructor(values: Readonly<Record<string, unknown>>, file: string) {
    this.values = values;
    this.file = file;
  }

  /** Whether the key is there with a value other than null. */
  has(key: string): boolean {
    const value = this.get(key);
    return value !== absent && value !== null;
  }

  /** A whole number in [min, max]. Without `fallback` the key is required. */
  integer(key: string, limits: { min: number; max: number }, fallback?: number): number {
    const value = this.get(key);
    if ((value === absent || value === null) && fallback !== undefined) return fallback;
    if (!Number.isSafeInteger(value) || (value as number) < limits.min || (value as number) > limits.max) {
      throw this.invalid(key, value, `a whole number from ${limits.min} to ${limits.max}`);
    }
    return value as number;
  }

  /** Like `integer`, but a list with one entry a layer is taken too if all its entries are equal. */
  integerForAllLayers(key: string, layers: number, limits: { min: number; max: number }, fallback?: number): number {
    const value = this.get(key);
    if (!Array.isArray(value)) return this.integer(key, limits, fallback);
    if (value.length < layers) throw this.invalid(key, value, `at least ${layers} entries, one a layer`);
    const first: unknown = value[0];
    if (value.some((entry) => entry !== first)) {
      throw this.unsupported(`"${key}" differs between layers`, "only models whose layers are alike can be built");
    }
    return new ConfigReader({ [key]: first }, this.file).integer(key, limits);
  }

  /** A finite number above 0. */
  positive(key: string, fallback?: number): number {
    const value = this.get(key);
    if ((value === absent || value === null) && fallback !== undefined) return fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      throw this.invalid(key, value, "a number above 0");
    }
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.get(key);
    if (value === absent || value === null) return fallback;
    if (typeof value !== "boolean") throw this.invalid(key, value, "true or false");
    return value;
  }

  /** A string, or undefined when the key is absent or something else stands there. */
  text(key: string): string | undefined {
    const value = this.get(key);
    return typeof value === "string" ? value : undefined;
  }

  /** An object, or null when the key is absent or null. */
  object(key: string): Readonly<Record<string, unknown>> | null {
    const value = this.get(key);
    if (value === absent || value === null) return null;
    if (typeof value !== "object" || Array.isArray(value)) throw this.invalid(key, value, "an object");
    return value as Record<string, unknown>;
  }

  /** Refuses any value but the given ones; an absent key and null mean the first of them. `why` completes "…, but". */
  mustBe(key: string, allowed: readonly unknown[], why: string): void {
    const value = this.get(key);
    if (value === absent || value === null || allowed.includes(value)) return;
    // One entry a layer, as the V1 files have it.
    if (Array.isArray(value) && value.every((entry) => allowed.includes(entry))) return;
    throw this.unsupported(`"${key}" is ${show(value)}, but ${why}`, "such a model cannot be built here");
  }

  /** Declares keys that change nothing in what the model computes. */
  ignore(keys: Iterable<string>): void {
    for (const key of keys) this.known.add(key);
  }

  /** Refuses every key that nobody asked for. */
  finish(): void {
    for (const key of Object.keys(this.values)) {
      if (this.known.has(key)) continue;
      const guess = didYouMean(key, [...this.known]);
      throw this.unsupported(
        `the key ${quoteForMessage(key)} is unknown`,
        `remove it if it does not change what the model computes${guess.startsWith("did") ? `; ${guess}` : ""}`,
      );
    }
  }

  invalid(key: string, value: unknown, expected: string): RookeryError {
    const found = value === absent ? "is missing" : `is ${show(value)}`;
    return new RookeryError(
      "INVALID_CONFIG",
      `${this.file}: "${key}" ${found}; it must be ${expected}`,
      "mend config.json",
    );
  }

  unsupported(what: string, hint: string): RookeryError {
    return new RookeryError("UNSUPPORTED_MODEL", `${this.file}: ${what}`, hint);
  }

  private get(key: string): unknown {
    this.known.add(key);
    return Object.hasOwn(this.values, key) ? this.values[key] : absent;
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
