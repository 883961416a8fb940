import fs from "node:fs";

/**
 * Names one process on this machine. `startTime` (clock ticks since boot, as Linux reports it) tells a process from a
 * later one that got the same pid; it is null where the system does not say.
 */
export type ProcessIdentity = { pid: number; startTime: string | null };

function startTimeOf(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses and may hold spaces, so fields are counted from its end.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const startTime = fields[19];
    return startTime !== undefined && /^\d+$/.test(startTime) ? startTime : null;
  } catch {
    return null;
  }
}

let own: ProcessIdentity | undefined;

/** The identity of the process this runs in (all its worker threads share it). */
export function ownProcess(): ProcessIdentity {
  own ??= { pid: process.pid, startTime: startTimeOf(process.pid) };
  return own;
}

/** True when that very process still runs; when this cannot be told, true, so that nothing live is taken away. */
export function isOwnerAlive(owner: ProcessIdentity): boolean {
  if (!Number.isSafeInteger(owner.pid) || owner.pid <= 0) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it runs, under another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const startTime = startTimeOf(owner.pid);
  return owner.startTime === null || startTime === null || owner.startTime === startTime;
}
