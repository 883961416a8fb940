/** Files that are dropped on a conversation, as text. The readers of HTML and PDF are fetched from the server when they are needed. */
import { limits } from "./conversation.ts";

/** A file that cannot be used; the message is for the reader. */
export class DocumentError extends Error {}

export const acceptedFiles = ".txt,.md,.markdown,.csv,.json,.html,.htm,.pdf,.rst,.tex,.log,text/*,application/pdf";

export type ReadDocument = { name: string; text: string };

/** @throws DocumentError */
export async function readDocument(file: File, onProgress: (what: string) => void): Promise<ReadDocument> {
  const name = file.name === "" ? "document" : file.name.slice(0, 120);
  if (file.size > limits.documentFileBytes) throw new DocumentError(`${name} is larger than 100 MB.`);
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  let text: string;
  try {
    if (extension === "pdf" || file.type === "application/pdf") {
      const { readPdf } = await import("./document-pdf.ts");
      text = await readPdf(await file.arrayBuffer(), (page, pages) => onProgress(`page ${page} of ${pages}`));
    } else if (extension === "html" || extension === "htm" || file.type === "text/html") {
      const { readHtml } = await import("./document-html.ts");
      text = readHtml(decodeText(name, await file.arrayBuffer()));
    } else {
      text = decodeText(name, await file.arrayBuffer());
    }
  } catch (error) {
    if (error instanceof DocumentError) throw error;
    throw new DocumentError(`${name} could not be read: ${(error as Error).message}`);
  }
  text = tidy(text);
  if (text === "") throw new DocumentError(`${name} holds no text. (Scanned pages are pictures.)`);
  if (text.length > limits.documentCharacters) throw new DocumentError(`${name} holds more than 4 million characters.`);
  return { name, text };
}

function decodeText(name: string, buffer: ArrayBuffer): string {
  const bytes = new Uint8Array(buffer);
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // said below
  }
  throw new DocumentError(`${name} is no text in UTF-8, no HTML and no PDF.`);
}

/** One newline form, no lines of blanks, no runs of empty lines: tokens that say nothing cost as much as others. */
function tidy(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}
