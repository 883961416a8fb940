/** Documents in PDF, page by page. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { DocumentContent, DocumentFlag, DocumentSection } from "./document.ts";
import { DocumentFault } from "./fault.ts";

const mostPages = 20_000;
/** A page with fewer letters holds a number or a line below a picture, and is no text. */
const fewestLetters = 16;
const mostGarbledShare = 0.1;

/** Tables of characters that Chinese, Japanese and Korean files name instead of holding them: beside the pages of the package, or of a clone. */
const characterMaps = [
  path.join(import.meta.dirname, "..", "..", "web", "assets", "cmaps"),
  path.join(import.meta.dirname, "..", "..", "..", "node_modules", "pdfjs-dist", "cmaps"),
].find((folder) => existsSync(folder));

/** What a file names and does not hold, by the hands of the library; a browser would ask a server for it. */
class CharacterMaps {
  async fetch({ kind, filename }: { kind: string; filename: string }): Promise<Uint8Array> {
    if (characterMaps === undefined || kind !== "cMapUrl" || !/^[\w-]+\.bcmap$/.test(filename)) {
      throw new Error(`${filename} is not at hand`);
    }
    return new Uint8Array(await readFile(path.join(characterMaps, filename)));
  }
}

/** Nothing in the file is run, drawn or fetched. Pages without readable text are flagged, their sections empty. */
export async function readPdf(bytes: Uint8Array): Promise<DocumentContent> {
  const { getDocumentProxy } = await import("unpdf");
  const pdf = await getDocumentProxy(bytes, {
    isEvalSupported: false,
    useSystemFonts: false,
    disableFontFace: true,
    enableXfa: false,
    stopAtErrors: false,
    verbosity: 0,
    ...{ useWorkerFetch: false, BinaryDataFactory: CharacterMaps, cMapUrl: "maps/", cMapPacked: true },
  }).catch((error: Error) => {
    if (error.name === "PasswordException") {
      throw new DocumentFault("is locked with a password", "save it without one");
    }
    throw new DocumentFault("is damaged, or no PDF", "take another copy of it");
  });
  if (pdf.numPages > mostPages) throw new DocumentFault(`has more than ${mostPages} pages`, "split it");
  const sections: DocumentSection[] = [];
  const flags: DocumentFlag[] = [];
  for (let number = 1; number <= pdf.numPages; number++) {
    const text = await textOfPage(pdf, number);
    const kind = flagOf(text);
    if (kind !== null) flags.push({ kind, page: number });
    sections.push({ page: number, heading: null, text: kind === "garbledPage" ? "" : text });
  }
  if (flags.length * 2 > sections.length) flags.push({ kind: "scanned", page: null });
  const { info } = await pdf.getMetadata().catch(() => ({ info: {} }));
  const { Title: title } = info as { Title?: unknown };
  return { title: typeof title === "string" && title.trim() !== "" ? title.trim() : null, sections, tables: [], flags };
}

type Pdf = Awaited<ReturnType<typeof import("unpdf")["getDocumentProxy"]>>;

/** A damaged page has no text: the others may have. */
async function textOfPage(pdf: Pdf, number: number): Promise<string> {
  try {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    const text = items.map((item) => ("str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")).join("");
    page.cleanup();
    return text.replace(/[ \t]+\n/g, "\n").trim();
  } catch {
    return "";
  }
}

function flagOf(text: string): DocumentFlag["kind"] | null {
  const letters = text.match(/[\p{L}\p{N}]/gu)?.length ?? 0;
  // fonts without a table of characters give control characters, replacement characters, and private ones
  const garbled = text.match(/[\p{Co}\p{Cn}\p{Cc}\ufffd]/gu)?.filter((character) => !/\s/.test(character)).length ?? 0;
  if (garbled > mostGarbledShare * (letters + garbled)) return "garbledPage";
  return letters < fewestLetters ? "emptyPage" : null;
}
