import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { refuseExisting, refuseUnwritable, writeJsonLines } from "../../base/files.ts";
import type { ReviewProgress } from "../../review/decision.ts";
import { ReviewQueue } from "../../review/queue.ts";
import { isLoopback } from "../../serve/access.ts";
import { listen } from "../../serve/listen.ts";
import { createReviewApp } from "../../serve/review.ts";
import { defineCommand } from "../command.ts";
import { reviewInTerminal } from "../review-terminal.ts";

const schema = z.strictObject({
  file: z
    .string()
    .min(1)
    .describe("a queue: JSON lines, as `rookery data clean --review` writes them or any others")
    .meta({ valueName: "FILE.jsonl" }),
  out: z
    .string()
    .min(1)
    .optional()
    .describe("where accepted and edited records go at the end")
    .meta({ valueName: "FILE.jsonl" }),
  overwrite: z.boolean().default(false).describe("replace --out if it is there"),
  serve: z.boolean().default(false).describe("decide in a browser instead, until Ctrl-C"),
  host: z.string().min(1).default("127.0.0.1").describe("an address of this machine itself; the page asks for no key"),
  port: z.int().min(0).max(65_535).default(8082).describe("port of the page; 0 takes any that is free"),
});

type ReviewResult = ReviewProgress & { decisions: string; out: string | null };

export const command = defineCommand({
  schema,
  positionals: ["file"],
  stopMessage: "every decision is kept; run it again to go on",
  examples: [
    { line: "rookery review doubtful.jsonl --out reviewed.jsonl", purpose: "in the terminal, a key for each decision" },
    { line: "rookery review doubtful.jsonl --serve", purpose: "in a browser; decisions are kept in the same place" },
  ],
  async run({ file, out, overwrite, serve, host, port }, { signal, onEvent }, io): Promise<ReviewResult> {
    if (out !== undefined) {
      if (!overwrite) refuseExisting([out]);
      refuseUnwritable([out]);
    }
    if (!isLoopback(host)) {
      const hint = "give 127.0.0.1; from elsewhere, reach it through ssh -L";
      throw new RookeryError("INVALID_OPTION", `--host ${host} would let others decide`, hint);
    }
    using queue = ReviewQueue.open(file);
    if (serve)
      await serveQueue(queue, { host, port }, (url) => io.write(`reviewing ${file} on ${url}/review\n`), signal);
    else if (io.terminal) await reviewInTerminal(queue, io.terminal, io.environment, signal);
    const { progress, decisionsFile } = queue;
    if (!serve && !io.terminal && progress.left > 0) {
      onEvent?.({ type: "note", message: "there is no terminal to decide in; --serve opens a page instead" });
    }
    if (out !== undefined) writeJsonLines(out, queue.accepted());
    return { ...progress, decisions: decisionsFile, out: out ?? null };
  },
  describe: ({ total, accepted, edited, rejected, left, decisions, out }) => [
    `${accepted} accepted, ${edited} edited, ${rejected} rejected, ${left} of ${total} left`,
    `decisions: ${decisions}`,
    ...(out === null ? [] : [`${accepted + edited} records: ${out}`]),
  ],
});

async function serveQueue(
  queue: ReviewQueue,
  address: { host: string; port: number },
  onListening: (url: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const app = createReviewApp(queue);
  const server = await listen((request) => app.fetch(request), address);
  onListening(server.url);
  await new Promise<void>((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener("abort", () => resolve(), { once: true });
  });
  await server.close(1000, () => {});
}
