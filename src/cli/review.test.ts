import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { ReviewQueue, writeReviewQueue } from "../review/queue.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-review-command-"));
after(() => fs.rmSync(folder, { recursive: true }));

const cli = path.join(import.meta.dirname, "..", "..", "bin", "rookery.js");
const queue = path.join(folder, "queue.jsonl");
writeReviewQueue(
  queue,
  ["a", "b"].map((answer) => ({ record: { question: "?", answer }, why: { reason: "noEnd", detail: "" } })),
);

/** Runs the command; `onLine` sees its standard output so far, and may stop it. */
async function review(words: string[], onLine: (text: string, stop: () => void) => void = () => {}) {
  const child = spawn(process.execPath, [cli, "review", queue, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onLine(stdout, () => child.kill("SIGINT"));
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const status = await new Promise((resolve) => child.on("close", resolve));
  return { status, stdout, stderr };
}

test("without a terminal it tells how things stand, and writes what was accepted", async () => {
  {
    using open = ReviewQueue.open(queue);
    open.decide({ key: open.items[1]!.key, action: "accept" }, new Date(0));
  }
  const out = path.join(folder, "out.jsonl");
  const first = await review(["--out", out, "--json"]);
  assert.equal(first.status, 0, first.stderr);
  assert.deepEqual(fs.readFileSync(out, "utf8"), '{"question":"?","answer":"b"}\n');
  const { total, accepted, left } = JSON.parse(first.stdout) as Record<string, number>;
  assert.deepEqual([total, accepted, left], [2, 1, 1]);
  const again = await review(["--out", out]);
  assert.equal(again.status, 2);
  assert.match(again.stderr, /is there already; choose another path, or add --overwrite/);
  const open = await review(["--serve", "--host", "0.0.0.0"]);
  assert.match(open.stderr, /would let others decide/);
});

test("the page is served until Ctrl-C, which is its end and no failure", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<number>();
  let isAsked = false;
  const { status, stdout } = await review(["--serve", "--port", "0"], async (text, stop) => {
    const address = /http:\S+/.exec(text)?.[0];
    if (address === undefined || isAsked) return;
    isAsked = true;
    resolve((await fetch(address.replace(/review$/, "review/state"))).status);
    stop();
  });
  assert.equal(await asked, 200);
  assert.equal(status, 0);
  assert.match(stdout, /1 accepted, 0 edited, 0 rejected, 1 of 2 left/);
});
