/** Documents among other data: what cannot be used of them is a problem each, and not the end. */
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import type { ProblemKind } from "../problems.ts";
import type { SourceDocument } from "./document.ts";
import type { DocumentReader } from "./read.ts";

const shownPages = 8;

/** Undefined where nothing of the document can be used. Throws the signal's reason. */
export async function readUsableDocument(
  file: string,
  reader: DocumentReader,
  problem: (kind: ProblemKind, line: null, what: string) => void,
  context: CommandContext = {},
): Promise<SourceDocument | undefined> {
  let document: SourceDocument;
  try {
    document = await reader.read(file, context);
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    const what = error.message.startsWith(`${file} `) ? error.message.slice(file.length + 1) : error.message;
    problem(error.code === "FILE_UNREADABLE" ? "unreadable" : "unreadableDocument", null, what);
    return undefined;
  }
  const has = (wanted: string) => document.flags.some(({ kind }) => kind === wanted);
  const garbled = document.flags.filter(({ kind }) => kind === "garbledPage").map(({ page }) => page);
  if (has("noText")) {
    problem("unreadableDocument", null, "has no text that can be read");
    return undefined;
  }
  if (has("scanned")) problem("unreadablePages", null, "has pages without text for the most part: a scan?");
  else if (garbled.length > 0) {
    const pages = `${garbled.slice(0, shownPages).join(", ")}${garbled.length > shownPages ? " …" : ""}`;
    problem("unreadablePages", null, `has text without meaning on ${garbled.length} pages (${pages})`);
  }
  return document;
}
