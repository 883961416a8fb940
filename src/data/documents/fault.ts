/** What keeps a document from being read, as the end of a line that begins with its path. */
export class DocumentFault extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export type Failure =
  | { type: "fault"; message: string; hint: string }
  /** A system error of reading the file. */
  | { type: "unreadable"; code: string };

/** What is told of an error of reading a file of a kind. */
export function failureOf(error: unknown, kind: string): Failure {
  if (error instanceof DocumentFault) return { type: "fault", message: error.message, hint: error.hint };
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code !== undefined && syscall !== undefined) return { type: "unreadable", code };
  if (error instanceof RangeError) {
    return { type: "fault", message: "is nested too deeply to be read", hint: "take a simpler copy of it" };
  }
  // whatever a library throws at a damaged file
  return { type: "fault", message: `cannot be read as ${kind}`, hint: "take another copy of it" };
}
