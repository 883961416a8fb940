/** What is decided about a record, and what of it a person sees. */

export type ReviewRecord = Record<string, unknown>;

/** Keys and indices from the record down to a value. */
export type FieldPath = (string | number)[];

export type ReviewField = {
  path: FieldPath;
  /** The role of a turn, or the names on the way. */
  label: string;
  text: string;
};

/** Why a person is asked. */
export type ReviewReason = { reason: string; detail: string };

export const reviewActions = ["accept", "reject", "edit", "undo"] as const;

/** `edit` accepts the record that it brings; `undo` takes the last decision on the item back. */
export type Decision = {
  key: string;
  action: (typeof reviewActions)[number];
  record?: ReviewRecord | undefined;
  note?: string | undefined;
};

export type ReviewProgress = { total: number; accepted: number; rejected: number; edited: number; left: number };
