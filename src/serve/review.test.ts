import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { ReviewQueue, writeReviewQueue } from "../review/queue.ts";
import { createReviewApp } from "./review.ts";
import type { ReviewState } from "./review-wire.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-review-routes-"));
after(() => fs.rmSync(folder, { recursive: true }));

test("records are shown and decided on; what is no decision of this queue is refused", async () => {
  const file = path.join(folder, "queue.jsonl");
  const why = { reason: "noEnd", detail: "" };
  writeReviewQueue(file, [
    { record: { question: "a", answer: "b" }, why },
    { record: { question: "c", answer: "d" }, why },
  ]);
  using queue = ReviewQueue.open(file);
  const app = createReviewApp(queue);
  const headers = { "Content-Type": "application/json", Host: "localhost:8082" };
  const state = async (path: string): Promise<ReviewState> =>
    (await (await app.request(path, { headers })).json()) as ReviewState;
  const post = (body: unknown, more: Record<string, string> = {}) =>
    app.request("/review/decisions", { method: "POST", headers: { ...headers, ...more }, body: JSON.stringify(body) });
  const first = await state("/review/state");
  assert.equal(first.item?.index, 0);
  const { key } = first.item!;
  const edited = await post({ key, action: "edit", edits: [{ path: ["answer"], text: "文" }] });
  assert.equal(((await edited.json()) as ReviewState).item?.index, 1);
  assert.deepEqual(queue.accepted(), [{ question: "a", answer: "文" }]);
  assert.equal((await state("/review/state?index=0")).item?.fields[1]?.text, "文");
  const status = async (response: Response | Promise<Response>) => (await response).status;
  assert.equal(await status(post({ key, action: "accept" }, { "Content-Type": "text/plain" })), 415);
  assert.equal(await status(post({ key, action: "accept" }, { Host: "evil.example" })), 403);
  for (const body of [
    null,
    { key: "other", action: "accept" },
    { key, action: "burn" },
    { key, action: "edit" },
    { key, action: "accept", edits: [{ path: ["answer"], text: "x" }] },
    { key, action: "edit", edits: [{ path: ["nothing"], text: "x" }] },
  ]) {
    assert.equal(await status(post(body)), 400, JSON.stringify(body));
  }
  assert.equal(await status(app.request("/review/state?index=9", { headers })), 400);
  assert.equal(await status(app.request("/review", { headers })), 200);
  assert.equal((await app.request("/", { headers })).headers.get("Location"), "review");
  assert.equal(queue.progress.left, 1);
});
