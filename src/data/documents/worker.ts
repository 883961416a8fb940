/** The other side of `readDocument`: reads documents on a thread that can be stopped and reaches no network. */
import fs from "node:fs";
import net from "node:net";
import { parentPort } from "node:worker_threads";
import { decodeUtf8 } from "../lines.ts";
import { type DocumentContent, type DocumentKind, documentText } from "./document.ts";
import { readDocx } from "./docx.ts";
import { DocumentFault } from "./fault.ts";
import { readHtml } from "./html.ts";
import { detectLanguage } from "./language.ts";
import { readMarkdown, readPlainText } from "./markdown.ts";
import { readPdf } from "./pdf.ts";

export type ToReader = { path: string; kind: DocumentKind; maxBytes: number; maxUnpackedBytes: number };

export type FromReader =
  | { type: "document"; content: DocumentContent; language: string | null }
  | { type: "fault"; message: string; hint: string }
  /** A system error of reading the file. */
  | { type: "unreadable"; code: string };

function readBytes(file: string, maxBytes: number): Uint8Array {
  const stats = fs.statSync(file);
  if (!stats.isFile()) throw new DocumentFault("is no regular file", "give a file");
  if (stats.size > maxBytes) throw new DocumentFault(`is larger than ${maxBytes / 2 ** 20} MiB`, "split it");
  // a copy of its own: small files share the memory of others
  return new Uint8Array(fs.readFileSync(file));
}

function textOf(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text === null) throw new DocumentFault("is not valid UTF-8", "convert the file to UTF-8");
  return text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
}

async function contentOf({ path, kind, maxBytes, maxUnpackedBytes }: ToReader): Promise<DocumentContent> {
  const bytes = readBytes(path, maxBytes);
  switch (kind) {
    case "html":
      return await readHtml(bytes);
    case "pdf":
      return await readPdf(bytes);
    case "docx":
      return await readDocx(bytes, maxUnpackedBytes);
    case "markdown":
      return readMarkdown(textOf(bytes));
    case "text":
      return readPlainText(textOf(bytes));
  }
}

async function answer(request: ToReader): Promise<FromReader> {
  try {
    const content = await contentOf(request);
    const text = documentText(content);
    if (text === "") content.flags.push({ kind: "noText", page: null });
    return { type: "document", content, language: text === "" ? null : await detectLanguage(text) };
  } catch (error) {
    if (error instanceof DocumentFault) return { type: "fault", message: error.message, hint: error.hint };
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code !== undefined && syscall !== undefined) return { type: "unreadable", code };
    if (error instanceof RangeError) {
      return { type: "fault", message: "is nested too deeply to be read", hint: "take a simpler copy of it" };
    }
    // whatever a library throws at a damaged file
    return { type: "fault", message: `cannot be read as ${request.kind}`, hint: "take another copy of it" };
  }
}

const port = parentPort;
if (port) {
  // Every thread has modules of its own: nothing on this one connects, whatever a file makes a library want.
  net.Socket.prototype.connect = () => {
    throw new Error("reading a document opens no connection");
  };
  port.on("message", async (request: ToReader) => port.postMessage(await answer(request)));
}
