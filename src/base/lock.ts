import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import { RookeryError } from "./errors.ts";
import { fileError, temporaryPath } from "./files.ts";
import { isOwnerAlive, ownProcess, type ProcessIdentity } from "./process-identity.ts";

/** What a lock file holds. `token` tells two holders inside one process apart. */
type LockRecord = ProcessIdentity & { format: "rookery-lock/1"; host: string; startedAt: string; token: string };

/** A lock that this process holds; `release` (or leaving a `using` scope) gives it back. */
export type FileLock = Disposable & { readonly path: string; release(): void };

/**
 * Takes the lock file `lockPath`, in a folder that exists, or throws RUN_LOCKED with the holder's pid. A lock whose
 * process is gone (killed, or the machine restarted) is taken over. A lock of another machine, seen on a shared disk,
 * is always respected: nobody here can tell whether its process lives.
 */
export function acquireLock(lockPath: string, what: string): FileLock {
  const record: LockRecord = {
    format: "rookery-lock/1",
    ...ownProcess(),
    host: os.hostname(),
    startedAt: new Date().toISOString(),
    token: randomUUID(),
  };
  try {
    // Each turn either takes the lock, throws, or moves one stale lock away, and others may bring stale ones only by dying.
    for (let turn = 0; turn < 100; turn++) {
      if (createExclusively(lockPath, record)) return heldLock(lockPath, record.token);
      const found = readLockText(lockPath);
      if (found === null) continue;
      const holder = parseLock(found);
      if (holder !== null && isHolding(holder)) {
        throw lockedError(lockPath, what, holder, record.host);
      }
      moveStaleAway(lockPath, found);
    }
  } catch (error) {
    throw fileError(error, lockPath, "write");
  }
  throw new RookeryError("RUN_LOCKED", `${what} is locked (${lockPath}) and keeps changing hands`, "try again");
}

/** Whether a live process has the lock: for whoever only looks on. What another machine holds counts as alive. */
export function isLockHeld(lockPath: string): boolean {
  const holder = parseLock(readLockText(lockPath) ?? "");
  return holder !== null && isHolding(holder);
}

function isHolding(holder: LockRecord): boolean {
  return holder.host !== os.hostname() || isOwnerAlive(holder);
}

function lockedError(lockPath: string, what: string, holder: LockRecord, host: string): RookeryError {
  if (holder.host === host) {
    return new RookeryError(
      "RUN_LOCKED",
      `${what} is in use by process ${holder.pid}, running since ${holder.startedAt}`,
      `wait for it, stop it (kill -INT ${holder.pid}), or choose another name`,
    );
  }
  return new RookeryError(
    "RUN_LOCKED",
    `${what} is in use by process ${holder.pid} on the machine ${holder.host}, since ${holder.startedAt}`,
    `if that process is gone, remove ${lockPath}`,
  );
}

/** True when the lock was made, false when one is already there. */
function createExclusively(lockPath: string, record: LockRecord): boolean {
  const text = `${JSON.stringify(record)}\n`;
  // A linked file appears with its contents at once; O_EXCL alone would leave an empty lock if we died before writing.
  const draft = temporaryPath(lockPath);
  fs.writeFileSync(draft, text, { flag: "wx" });
  try {
    fs.linkSync(draft, lockPath);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return false;
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw error;
    return createWithoutLinks(lockPath, text);
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

/** For file systems without hard links. */
function createWithoutLinks(lockPath: string, text: string): boolean {
  try {
    fs.writeFileSync(lockPath, text, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readLockText(lockPath: string): string | null {
  try {
    return fs.readFileSync(lockPath, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Null for contents that no live Rookery writes: such a lock is stale. */
function parseLock(text: string): LockRecord | null {
  try {
    const value = JSON.parse(text) as Partial<LockRecord> | null;
    if (typeof value !== "object" || value === null || value.format !== "rookery-lock/1") return null;
    if (typeof value.pid !== "number" || typeof value.host !== "string" || typeof value.token !== "string") return null;
    const startTime = typeof value.startTime === "string" ? value.startTime : null;
    return { ...(value as LockRecord), startTime, startedAt: String(value.startedAt) };
  } catch {
    return null;
  }
}

/**
 * Two processes may find the same stale lock. Each renames whatever is there and looks at what it got; whoever got
 * something else than the stale lock it had read, a rival's fresh lock, puts it back.
 */
function moveStaleAway(lockPath: string, staleText: string): void {
  const aside = temporaryPath(lockPath);
  try {
    fs.renameSync(lockPath, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if (readLockText(aside) === staleText) {
    fs.rmSync(aside, { force: true });
  } else if (!fs.existsSync(lockPath)) {
    fs.renameSync(aside, lockPath);
  }
}

function heldLock(lockPath: string, token: string): FileLock {
  const release = (): void => {
    const text = readLockText(lockPath);
    // Only ours: if someone removed the lock by hand and another process took it, it stays.
    if (text !== null && parseLock(text)?.token === token) fs.rmSync(lockPath, { force: true });
  };
  return { path: lockPath, release, [Symbol.dispose]: release };
}
