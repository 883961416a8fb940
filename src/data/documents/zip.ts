/** Whether a ZIP archive, such as a DOCX, holds no more than it should, before a library unpacks it whole. */
import { Buffer } from "node:buffer";
import { inflateRawSync } from "node:zlib";
import { DocumentFault } from "./fault.ts";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
/** The end record has 22 bytes and a comment of at most 65,535. */
const endBytes = 22;
const longestComment = 0xffff;

/**
 * Unpacks every entry and throws it away: the sizes that an archive tells of itself may be lies.
 * @throws DocumentFault for what is no archive, is damaged, or unpacks to more than `maxBytes`.
 */
export function checkZip(bytes: Uint8Array, maxBytes: number): void {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const from = Math.max(0, file.length - endBytes - longestComment);
  const end = file.subarray(from).lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06])) + from;
  if (end < from || end + endBytes > file.length || file.readUInt32LE(end) !== END) throw damaged();
  const count = file.readUInt16LE(end + 10);
  let at = file.readUInt32LE(end + 16);
  let left = maxBytes;
  for (let index = 0; index < count; index++) {
    if (at + 46 > file.length || file.readUInt32LE(at) !== ENTRY) throw damaged();
    const method = file.readUInt16LE(at + 10);
    const size = file.readUInt32LE(at + 20);
    const local = file.readUInt32LE(at + 42);
    if (local + 30 > file.length || file.readUInt32LE(local) !== LOCAL) throw damaged();
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    if (start + size > file.length || (method !== 0 && method !== 8)) throw damaged();
    left -= method === 0 ? size : inflatedSize(file.subarray(start, start + size), Math.max(1, left));
    if (left < 0) throw tooLarge(maxBytes);
    at += 46 + file.readUInt16LE(at + 28) + file.readUInt16LE(at + 30) + file.readUInt16LE(at + 32);
  }
}

/** Infinity for more than `most` bytes. */
function inflatedSize(packed: Uint8Array, most: number): number {
  try {
    return inflateRawSync(packed, { maxOutputLength: most }).length;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return Number.POSITIVE_INFINITY;
    throw damaged();
  }
}

function damaged(): DocumentFault {
  return new DocumentFault("is damaged, or no DOCX", "take another copy of it");
}

function tooLarge(maxBytes: number): DocumentFault {
  return new DocumentFault(
    `unpacks to more than ${maxBytes / 2 ** 20} MiB`,
    "take the pictures out of it, or split it",
  );
}
