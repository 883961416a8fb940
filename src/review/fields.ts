/** What of a record a person reads and may change: its texts, each with its place. */
import { isPlainObject } from "../base/option-schema.ts";
import type { FieldPath, ReviewField, ReviewRecord } from "./decision.ts";

/** Numbers and switches beside the texts, as "name: value". */
export type ReviewView = { fields: ReviewField[]; facts: string[] };

const deepest = 6;
const mostFields = 200;

/** The key of a queue's records that says why a person is asked; it is no part of what is decided on. */
export const reviewKey = "review";

/** All texts of a record in its order. What lies deeper, or comes after the first 200, is not shown. */
export function viewOf(record: ReviewRecord): ReviewView {
  const fields: ReviewField[] = [];
  const facts: string[] = [];
  const visit = (value: unknown, path: FieldPath, label: string): void => {
    if (path.length > deepest || fields.length + facts.length >= mostFields) return;
    if (typeof value === "string") fields.push({ path, label, text: value });
    else if (typeof value === "number" || typeof value === "boolean") facts.push(`${label}: ${value}`);
    else if (Array.isArray(value)) {
      value.forEach((item, index) => {
        visit(item, [...path, index], value.length === 1 ? label : `${label} ${index + 1}`);
      });
    } else if (isPlainObject(value)) {
      const turn = turnOf(value);
      if (turn !== undefined) fields.push({ path: [...path, turn.key], label: turn.role, text: turn.text });
      else for (const [key, inner] of Object.entries(value)) visit(inner, [...path, key], labelOf(label, key));
    }
  };
  for (const [key, value] of Object.entries(record)) if (key !== reviewKey) visit(value, [key], key);
  return { fields, facts };
}

const labelOf = (label: string, key: string): string => (label === "" ? key : `${label} · ${key}`);

/** A turn in the form {role, content} or {from, value}: one field, named by who speaks. */
function turnOf(value: ReviewRecord): { key: string; role: string; text: string } | undefined {
  for (const [roleKey, textKey] of [
    ["role", "content"],
    ["from", "value"],
  ] as const) {
    const [role, text] = [value[roleKey], value[textKey]];
    if (typeof role === "string" && typeof text === "string") return { key: textKey, role, text };
  }
  return undefined;
}

/** The record with another text at a place; undefined if no text stands there. */
export function withText(record: ReviewRecord, path: FieldPath, text: string): ReviewRecord | undefined {
  const copy = structuredClone(record);
  let parent: unknown = copy;
  for (const key of path.slice(0, -1)) {
    if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, key)) return undefined;
    parent = (parent as ReviewRecord)[key];
  }
  const last = path.at(-1);
  if (last === undefined || typeof parent !== "object" || parent === null || !Object.hasOwn(parent, last)) {
    return undefined;
  }
  if (typeof (parent as ReviewRecord)[last] !== "string") return undefined;
  (parent as ReviewRecord)[last] = text;
  return copy;
}
