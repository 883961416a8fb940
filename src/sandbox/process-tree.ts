/** What a process and all that came out of it use, and their end. Reads /proc; where there is none, the process alone. */
import { readdirSync, readFileSync } from "node:fs";

/** More than any contained program may have; a guard against a tree that grows as it is walked. */
const mostProcesses = 4096;

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** The process and its descendants, parents first. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length && found.length < mostProcesses; i++) found.push(...childrenOf(found[i]!));
  return found;
}

/** Bytes of memory that the process has to itself or shares in memory, but for pages of files. */
function residentBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kibibytes = [...status.matchAll(/^Rss(?:Anon|Shmem):\s*(\d+) kB$/gm)].map((match) => Number(match[1]));
    return kibibytes.reduce((sum, one) => sum + one, 0) * 1024;
  } catch {
    return 0;
  }
}

/** Of the whole tree. Pages that a parent still shares with its forks count for each of them. */
export function treeBytes(pid: number): number {
  return processTree(pid).reduce((sum, one) => sum + residentBytes(one), 0);
}

/** Ends the process, its group, and all its descendants at once, whatever signals they ignore. */
export function killTree(pid: number): void {
  // Descendants before the root: what has lost its parent is no longer found from it.
  for (const target of [...processTree(pid).reverse(), -pid]) {
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}
