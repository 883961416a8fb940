/** The other side of `readDocument`: reads documents on a thread that can be stopped and reaches no network. */
import fs from "node:fs";
import net from "node:net";
import { parentPort } from "node:worker_threads";
import { decodeUtf8 } from "../lines.ts";
import { type DocumentContent, type DocumentKind, documentText } from "./document.ts";
import { readDocx } from "./docx.ts";
import { DocumentFault, type Failure, failureOf } from "./fault.ts";
import { readHtml } from "./html.ts";
import { detectLanguage } from "./language.ts";
import { readMarkdown, readPlainText } from "./markdown.ts";
import { readPdf } from "./pdf.ts";

export type ToReader = {
  path: string;
  kind: Exclude<DocumentKind, "table">;
  maxBytes: number;
  maxUnpackedBytes: number;
};

export type FromReader = { type: "document"; content: DocumentContent; language: string | null } | Failure;

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
    return failureOf(error, request.kind);
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
