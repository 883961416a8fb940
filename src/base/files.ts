import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { type ErrorCode, RookeryError } from "./errors.ts";
import { isOwnerAlive, ownProcess, type ProcessIdentity } from "./process-identity.ts";

// Everything here is synchronous: the trainer is a synchronous step machine on a worker thread of its own.
// `fs` is called through its default export so that tests can make any single call fail.

/** `writeSync` and `readSync` refuse 2 GiB and more in one call; pieces of this size are as fast. */
export const ioChunkBytes = 8 * 1024 * 1024;

/** The largest JSON file that is read whole, unless a caller allows more. */
const defaultJsonLimitBytes = 64 * 1024 * 1024;

const plainNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** True for names that can be a file or a folder name anywhere and can never leave the folder they are joined to. */
export function isPlainName(name: string): boolean {
  return plainNamePattern.test(name) && !name.endsWith(".");
}

/**
 * Throws INVALID_OPTION for a name that is not plain.
 * @param what such as "a run".
 */
export function checkName(name: string, what: string): void {
  if (isPlainName(name)) return;
  throw new RookeryError(
    "INVALID_OPTION",
    `${quoteForMessage(name)} cannot be the name of ${what}`,
    "use letters, digits, '.', '_' and '-', at most 100, starting with a letter or a digit",
  );
}

/**
 * Shows a name from a hostile file in an error message: quoted, control characters escaped, cut to a sensible length.
 */
export function quoteForMessage(text: string, maxLength = 80): string {
  const quoted = JSON.stringify(text.length > maxLength ? `${text.slice(0, maxLength)}…` : text);
  return quoted.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

const writeMends: Record<string, [what: string, hint: string]> = {
  ENOSPC: ["no space is left on its disk", "free some space, or choose a folder on another disk"],
  EDQUOT: ["your disk quota is used up", "free some space, or choose a folder on another disk"],
  EFBIG: ["the file would be larger than this disk or your limits allow", "choose another disk, or raise `ulimit -f`"],
  EACCES: ["permission is denied", "give yourself write permission there, or choose another folder"],
  EPERM: ["the operation is not permitted", "give yourself write permission there, or choose another folder"],
  EROFS: ["its disk is read-only", "choose a folder on a disk that can be written"],
  ENOENT: ["its folder does not exist", "create the folder first, or correct the path"],
  ENOTDIR: ["a part of its path is a file, not a folder", "correct the path"],
  EISDIR: ["it is a folder", "give the path of a file"],
  EEXIST: ["it already exists", "choose another name, or remove what is there"],
  ENOTEMPTY: ["a folder that is not empty is already there", "choose another name, or remove what is there"],
  ENAMETOOLONG: ["its name is too long", "choose a shorter name"],
  EMFILE: ["too many files are open", "raise `ulimit -n`"],
  ENFILE: ["too many files are open on this machine", "close other programs"],
  EIO: ["its disk reports an error", "check the disk, and choose another one meanwhile"],
};

const readMends: Record<string, [what: string, hint: string]> = {
  ENOENT: ["it does not exist", "correct the path"],
  EACCES: ["permission is denied", "give yourself read permission for it"],
  EPERM: ["the operation is not permitted", "give yourself read permission for it"],
  EISDIR: ["it is a folder", "give the path of a file"],
  ENOTDIR: ["a part of its path is a file, not a folder", "correct the path"],
  ELOOP: ["its symbolic links run in a circle", "mend the links, or give the real path"],
  ENAMETOOLONG: ["its name is too long", "correct the path"],
  EMFILE: ["too many files are open", "raise `ulimit -n`"],
  ENFILE: ["too many files are open on this machine", "close other programs"],
  EIO: ["its disk reports an error", "check the disk, or take another copy of the file"],
};

/**
 * Turns what `fs` throws into one line with the mend. Anything that is no system error comes back unchanged: it is a
 * fault of the program, or already a `RookeryError`.
 */
export function fileError(error: unknown, filePath: string, action: "read" | "write"): unknown {
  if (error instanceof RookeryError || !(error instanceof Error) || !("code" in error)) return error;
  const systemCode = String(error.code);
  if (!("syscall" in error)) return error;
  const [what, hint] = (action === "write" ? writeMends : readMends)[systemCode] ?? [
    `the system answers ${systemCode}`,
    "check the path and the disk",
  ];
  const code: ErrorCode = action === "write" ? "FILE_UNWRITABLE" : "FILE_UNREADABLE";
  return new RookeryError(code, `cannot ${action} ${asItWillBe(filePath)}: ${what}`, hint, { cause: error });
}

/** A path inside something still being written, under the name that it is to have: the hidden name tells a user nothing. */
function asItWillBe(filePath: string): string {
  return filePath
    .split(path.sep)
    .map((part) => temporaryOwner(part)?.finalName ?? part)
    .join(path.sep);
}

function attempt<Result>(filePath: string, action: "read" | "write", work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw fileError(error, filePath, action);
  }
}

/** Writes all bytes at the file's current position, in pieces that the system accepts. Raw system errors pass through. */
export function writeAll(fileDescriptor: number, bytes: Uint8Array): void {
  let offset = 0;
  while (offset < bytes.byteLength) {
    const length = Math.min(ioChunkBytes, bytes.byteLength - offset);
    offset += fs.writeSync(fileDescriptor, bytes, offset, length);
  }
}

/**
 * Fills `destination` from `position` of an open file; returns how many bytes there were. Fewer than asked means that
 * the file ended.
 */
export function readAll(fileDescriptor: number, destination: Uint8Array, position: number): number {
  let offset = 0;
  while (offset < destination.byteLength) {
    const length = Math.min(ioChunkBytes, destination.byteLength - offset);
    const count = fs.readSync(fileDescriptor, destination, offset, length, position + offset);
    if (count === 0) break;
    offset += count;
  }
  return offset;
}

/** Makes a file's contents, or a folder's list of names, survive a power cut. */
function syncToDisk(target: string): void {
  const fileDescriptor = fs.openSync(target, "r");
  try {
    fs.fsyncSync(fileDescriptor);
  } catch (error) {
    // Some file systems cannot sync a folder (EINVAL) and have nothing better to offer.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "EINVAL" && code !== "EPERM") throw error;
  } finally {
    fs.closeSync(fileDescriptor);
  }
}

/** Makes the names in a folder survive a power cut, after something in it was created, renamed or removed. */
export function syncFolder(folder: string): void {
  attempt(folder, "write", () => syncToDisk(folder));
}

let temporaryCount = 0;

/**
 * A path for something still being written, beside `finalPath` and hidden. It names the process that writes it, so
 * that `removeStaleTemporaries` can tell whether it was left behind.
 */
export function temporaryPath(finalPath: string): string {
  temporaryCount += 1;
  const owner = ownProcess();
  const name = `.${path.basename(finalPath)}.tmp-${owner.pid}-${owner.startTime ?? "0"}-${temporaryCount}-${process.hrtime.bigint()}`;
  return path.join(path.dirname(finalPath), name);
}

const temporaryPattern = /^\.(.+)\.tmp-(\d{1,10})-(\d{1,20})-\d+-\d+$/;

function temporaryOwner(name: string): (ProcessIdentity & { finalName: string }) | null {
  const match = temporaryPattern.exec(name);
  if (match === null) return null;
  const [, finalName = "", pid = "", startTime = ""] = match;
  return { finalName, pid: Number(pid), startTime: startTime === "0" ? null : startTime };
}

/** True for the hidden names that this module gives to what is not yet, or no longer, a whole thing. */
export function isTemporaryName(name: string): boolean {
  return temporaryPattern.test(name);
}

/** Removes what processes that are gone left half-written in `folder`. What live processes write stays. */
export function removeStaleTemporaries(folder: string): void {
  attempt(folder, "write", () => {
    for (const name of fs.readdirSync(folder)) {
      const owner = temporaryOwner(name);
      if (owner === null || isOwnerAlive(owner)) continue;
      fs.rmSync(path.join(folder, name), { recursive: true, force: true });
    }
  });
}

/**
 * Streams a file into place: `write` gets the descriptor of a file beside `filePath`, which takes its name only when
 * everything in it has reached the disk. On any failure nothing is left and an older file of that name is untouched.
 * Throws FILE_UNWRITABLE.
 */
export function writeStreamAtomic(filePath: string, write: (fileDescriptor: number) => void): void {
  attempt(filePath, "write", () => {
    const temporary = temporaryPath(filePath);
    const fileDescriptor = fs.openSync(temporary, "wx", 0o666);
    try {
      try {
        write(fileDescriptor);
        fs.fsyncSync(fileDescriptor);
      } finally {
        fs.closeSync(fileDescriptor);
      }
      fs.renameSync(temporary, filePath);
    } catch (error) {
      removeQuietly(temporary);
      throw error;
    }
    syncToDisk(path.dirname(filePath));
  });
}

/** Writes a whole file: beside, synced, renamed. Readers see the old contents or the new, never a part. */
export function writeFileAtomic(filePath: string, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  writeStreamAtomic(filePath, (fileDescriptor) => writeAll(fileDescriptor, bytes));
}

/** What is there is replaced only where `--overwrite` asks for it. Throws FILE_UNWRITABLE for the first path that exists. */
export function refuseExisting(paths: readonly string[]): void {
  const existing = paths.find((one) => fs.existsSync(one));
  if (existing === undefined) return;
  throw new RookeryError("FILE_UNWRITABLE", `${existing} is there already`, "choose another path, or add --overwrite");
}

/** Throws FILE_UNWRITABLE now for a file that could not be written at the end of long work. Touches nothing. */
export function refuseUnwritable(paths: readonly string[]): void {
  for (const one of paths) {
    attempt(one, "write", () => {
      const folder = path.dirname(path.resolve(one));
      fs.opendirSync(folder).closeSync();
      fs.accessSync(folder, fs.constants.W_OK);
    });
    if (!fs.statSync(one, { throwIfNoEntry: false })?.isDirectory()) continue;
    throw new RookeryError("FILE_UNWRITABLE", `cannot write ${one}: ${writeMends.EISDIR![0]}`, writeMends.EISDIR![1]);
  }
}

/** Writes a file of JSON, a line each, without ever holding all of it. Appears as `writeStreamAtomic` makes it appear. */
export function writeJsonLines<Item>(
  filePath: string,
  items: Iterable<Item>,
  recordOf: (item: Item) => object = (item) => item as object,
): void {
  writeStreamAtomic(filePath, (fileDescriptor) => {
    let waiting = "";
    const flush = () => {
      writeAll(fileDescriptor, new TextEncoder().encode(waiting));
      waiting = "";
    };
    for (const item of items) {
      waiting += `${JSON.stringify(recordOf(item))}\n`;
      if (waiting.length >= 2 ** 20) flush();
    }
    flush();
  });
}

/**
 * Makes a whole folder appear at once: `writeInto` fills a hidden folder beside `finalPath`; then every file and folder
 * in it is synced and it takes its name. If `writeInto` throws, or the disk is full, nothing is left. Folders that dead
 * processes left half-written are removed first.
 *
 * An existing `finalPath` is an error, unless `replace` is set; then the old folder steps aside just before the new one
 * takes its name. A process killed between those two renames leaves the old folder hidden: `recoverDirectory` brings it
 * back, and the next `commitDirectory` does so itself.
 */
export function commitDirectory(
  finalPath: string,
  writeInto: (temporaryFolder: string) => void,
  options: { replace?: boolean } = {},
): void {
  attempt(finalPath, "write", () => {
    const parent = path.dirname(finalPath);
    recoverDirectory(finalPath);
    removeStaleTemporaries(parent);
    const existing = fs.existsSync(finalPath);
    if (existing && options.replace !== true) {
      throw new RookeryError("FILE_UNWRITABLE", `${finalPath} already exists`, "choose another name, or remove it");
    }
    const temporary = temporaryPath(finalPath);
    fs.mkdirSync(temporary);
    try {
      writeInto(temporary);
      syncTree(temporary);
      if (existing) {
        const aside = asidePath(finalPath);
        fs.renameSync(finalPath, aside);
        fs.renameSync(temporary, finalPath);
        syncToDisk(parent);
        removeDirectory(aside);
      } else {
        fs.renameSync(temporary, finalPath);
        syncToDisk(parent);
      }
    } catch (error) {
      removeQuietly(temporary);
      recoverDirectoryQuietly(finalPath);
      throw error;
    }
  });
}

/** Where the old folder waits while a new one takes its place. One fixed name, so that it can be found again. */
function asidePath(finalPath: string): string {
  return path.join(path.dirname(finalPath), `.${path.basename(finalPath)}.replaced`);
}

/**
 * Brings back a folder that a killed `commitDirectory` had moved aside, or removes it when the new one is in place.
 * Returns true when a folder came back. Call it only where no other process may be replacing the same folder.
 */
export function recoverDirectory(finalPath: string): boolean {
  const aside = asidePath(finalPath);
  return attempt(finalPath, "write", () => {
    if (!fs.existsSync(aside)) return false;
    if (fs.existsSync(finalPath)) {
      removeDirectory(aside);
      return false;
    }
    fs.renameSync(aside, finalPath);
    syncToDisk(path.dirname(finalPath));
    return true;
  });
}

/**
 * Tidies a folder that only the caller's process writes to: folders that a killed replacement had moved aside come back,
 * and what dead processes left half-written goes.
 */
export function recoverFolder(folder: string): void {
  const names = attempt(folder, "write", () => fs.readdirSync(folder));
  for (const name of names) {
    const finalName = /^\.(.+)\.replaced$/.exec(name)?.[1];
    if (finalName !== undefined) recoverDirectory(path.join(folder, finalName));
  }
  removeStaleTemporaries(folder);
}

function recoverDirectoryQuietly(finalPath: string): void {
  try {
    recoverDirectory(finalPath);
  } catch {
    // The error that led here is the one to report; the folder waits beside and the next commit tries again.
  }
}

/** Removes a folder so that no half-removed one is ever seen under its name: it is renamed first. */
export function removeDirectory(folder: string): void {
  attempt(folder, "write", () => {
    const temporary = temporaryPath(folder);
    fs.renameSync(folder, temporary);
    fs.rmSync(temporary, { recursive: true, force: true });
    syncToDisk(path.dirname(folder));
  });
}

function syncTree(folder: string): void {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const entryPath = path.join(folder, entry.name);
    if (entry.isDirectory()) syncTree(entryPath);
    else if (entry.isFile()) syncToDisk(entryPath);
  }
  syncToDisk(folder);
}

function removeQuietly(target: string): void {
  try {
    fs.rmSync(target, { recursive: true, force: true });
  } catch {
    // The error that led here is the one to report; the leftover names its owner and is removed by a later process.
  }
}

/** Creates a folder and its parents. Throws FILE_UNWRITABLE. */
export function makeFolder(folder: string): void {
  attempt(folder, "write", () => {
    // level by level: Node's own recursion never ends where a level can neither be made nor be missing, as below /proc
    const missing: string[] = [];
    for (let level = folder; !fs.existsSync(level); level = path.dirname(level)) missing.push(level);
    for (const level of missing.reverse()) makeOneFolder(level);
    if (missing.length === 0) makeOneFolder(folder);
  });
}

/** Another process may make the same folder at the same time. */
function makeOneFolder(folder: string): void {
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !fs.statSync(folder).isDirectory()) throw error;
  }
}

/** SHA-256 of a file's contents in lower-case hex, read in pieces. Throws FILE_UNREADABLE. */
export function sha256OfFile(filePath: string): string {
  return attempt(filePath, "read", () => {
    const hash = createHash("sha256");
    const fileDescriptor = fs.openSync(filePath, "r");
    try {
      const buffer = new Uint8Array(Math.min(ioChunkBytes, Math.max(1, fs.fstatSync(fileDescriptor).size)));
      let position = 0;
      for (;;) {
        const count = readAll(fileDescriptor, buffer, position);
        if (count === 0) return hash.digest("hex");
        hash.update(count === buffer.byteLength ? buffer : buffer.subarray(0, count));
        position += count;
      }
    } finally {
      fs.closeSync(fileDescriptor);
    }
  });
}

/**
 * Reads a UTF-8 text file of at most `limitBytes`. Throws FILE_UNREADABLE, or FILE_DAMAGED when it is too large, no
 * regular file, or not UTF-8.
 */
export function readTextFile(filePath: string, limitBytes = defaultJsonLimitBytes): string {
  const bytes = attempt(filePath, "read", () => {
    const stats = fs.statSync(filePath);
    if (!stats.isFile()) {
      throw new RookeryError("FILE_UNREADABLE", `cannot read ${filePath}: it is no regular file`, "give a file");
    }
    if (stats.size > limitBytes) {
      throw new RookeryError(
        "FILE_DAMAGED",
        `${filePath} has ${stats.size} bytes; at most ${limitBytes} are expected here`,
        "check that this is the right file",
      );
    }
    return fs.readFileSync(filePath);
  });
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new RookeryError("FILE_DAMAGED", `${filePath} is not UTF-8 text`, "take another copy of the file");
  }
}

/** Reads and parses a JSON file. Throws FILE_UNREADABLE, or FILE_DAMAGED with what the parser says. */
export function readJsonFile(filePath: string, limitBytes = defaultJsonLimitBytes): unknown {
  const text = readTextFile(filePath, limitBytes);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0] ?? "";
    throw new RookeryError(
      "FILE_DAMAGED",
      `${filePath} is no valid JSON: ${reason.replace(/\p{C}/gu, "\ufffd")}`,
      "mend it, or take another copy",
    );
  }
}
