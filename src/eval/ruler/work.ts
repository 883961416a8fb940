/** Items of an evaluation as jobs: what is answered is kept, whatever happens to the process. */
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import type { Job, Jobs } from "../../jobs/jobs.ts";

export type JobWork = {
  kind: string;
  /** For progress: what is being done, and what it is counted in. */
  what: string;
  unit: string;
  concurrency: number;
  /** The result of a job. An INVALID_OPTION is this job's own fault, and the others go on; whatever else is thrown ends the work. */
  run(job: Job, signal: AbortSignal): Promise<unknown>;
  onDone?(job: Job, result: unknown): void;
};

/**
 * Runs the pending jobs of a kind, several at once, in the order in which they were added. What is under way when the signal is
 * raised or something fails goes back to those that wait.
 * @throws what `run` throws first; the signal's reason.
 */
export async function runJobs(jobs: Jobs, work: JobWork, { signal, onEvent }: CommandContext): Promise<void> {
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const { pending, done, failed } = jobs.counts(work.kind);
  const total = pending + done + failed;
  let finished = done + failed;
  if (finished > 0 && pending > 0) {
    onEvent?.({ type: "note", message: `${finished} of ${total} ${work.unit} were there already` });
  }
  const one = async () => {
    while (!signals.aborted) {
      const [job] = jobs.claim(work.kind);
      if (!job) return;
      try {
        const result = await work.run(job, signals);
        jobs.finish(job.id, result);
        work.onDone?.(job, result);
      } catch (error) {
        if (!(error instanceof RookeryError) || error.code !== "INVALID_OPTION" || signals.aborted) {
          jobs.release(job.id);
          stop.abort(error);
          throw error;
        }
        jobs.fail(job.id, error.message);
        onEvent?.({ type: "warning", message: error.message });
      }
      finished++;
      onEvent?.({ type: "progress", what: work.what, done: finished, total, unit: work.unit });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: work.concurrency }, one));
  signal?.throwIfAborted();
  const broken = ends.find((end) => end.status === "rejected");
  if (broken) throw stop.signal.reason;
}
