/** Documents of word processors (DOCX). */
import { Buffer } from "node:buffer";
import type { DocumentContent } from "./document.ts";
import { readFragment } from "./html.ts";
import { checkZip } from "./zip.ts";

/** Pictures are left out, and nothing outside of the file is read. */
export async function readDocx(bytes: Uint8Array, maxBytes: number): Promise<DocumentContent> {
  checkZip(bytes, maxBytes);
  const { default: mammoth } = await import("mammoth");
  const { value } = await mammoth.convertToHtml(
    { buffer: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) },
    {
      externalFileAccess: false,
      convertImage: mammoth.images.imgElement(async () => ({ src: "" })),
      // paragraphs of the style "Title" would otherwise be text like any other
      styleMap: ["p[style-name='Title'] => h1:fresh", "p[style-name='Subtitle'] => h2:fresh"],
    },
  );
  const content = await readFragment(value);
  return { title: content.sections[0]?.heading ?? null, ...content, flags: [] };
}
