/** Programs against tests: right is what ran to the end of its tests, not what left in time. */
import { randomBytes } from "node:crypto";
import { type ContainedRequest, type ContainedResult, runContained } from "./run.ts";

export type TestedResult = ContainedResult & { isPassed: boolean };

/**
 * Runs `code` with `tests` after it, which throw (assert) where it is wrong. A program that leaves before its tests have
 * run, with exit code 0 or not, has failed: only the line behind the tests prints a word that is new each time.
 * @throws as `runContained`
 */
export async function passesTests({ tests, ...request }: ContainedRequest & { tests: string }): Promise<TestedResult> {
  const word = `passed ${randomBytes(12).toString("hex")}`;
  const print =
    request.language === "python"
      ? `import sys as _sys\n_sys.stdout.write("\\n${word}\\n")`
      : `{ const { stdout } = process; stdout.write("\\n${word}\\n"); }`;
  const result = await runContained({ ...request, code: `${request.code}\n${tests}\n${print}\n` });
  const end = `\n${word}\n`;
  const isPassed = result.status === "ok" && result.stdout.endsWith(end);
  return { ...result, stdout: isPassed ? result.stdout.slice(0, -end.length) : result.stdout, isPassed };
}
