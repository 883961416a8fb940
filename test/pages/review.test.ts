/** The review page in Chromium: decisions by keys and by buttons, edits, and what is taken back. */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { ReviewQueue, writeReviewQueue } from "../../src/review/queue.ts";
import { listen } from "../../src/serve/listen.ts";
import { createReviewApp } from "../../src/serve/review.ts";
import { launchBrowser, openPage } from "./browser.ts";

let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
});

const answers = ["Three.", "<b>bold</b> <script>document.title = 'taken'</script>", "مرحبا، أنا بخير", "最后一个。"];

async function withQueue(work: (page: Page, queue: ReviewQueue) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-review-page-"));
  const file = path.join(folder, "doubtful.jsonl");
  writeReviewQueue(
    file,
    answers.map((content, n) => ({
      record: {
        messages: [
          { role: "user", content: `Question ${n}` },
          { role: "assistant", content },
        ],
        n,
      },
      why: { reason: "noEnd", detail: "ends in …" },
    })),
  );
  using queue = ReviewQueue.open(file);
  const app = createReviewApp(queue);
  const server = await listen((request) => app.fetch(request), { host: "127.0.0.1", port: 0 });
  const { page, context, faults, foreign } = await openPage(browser, `${server.url}/review`);
  try {
    await work(page, queue);
    assert.deepEqual([faults, foreign], [[], []]);
  } finally {
    await context.close();
    await server.close(1000, () => {});
    fs.rmSync(folder, { recursive: true });
  }
}

test("a queue is worked through by keys, resumed after a reload, and taken back", () =>
  withQueue(async (page, queue) => {
    await page.getByText("Question 0").waitFor();
    await page.getByText("4 of 4 left").waitFor();
    await page.keyboard.press("a");
    await page.getByText("Question 1").waitFor();
    await page.getByText("<b>bold</b>").waitFor();
    await page.keyboard.press("r");
    await page.getByText("Question 2").waitFor();
    assert.notEqual(await page.title(), "taken");
    await page.reload();
    await page.getByText("Question 2").waitFor();
    await page.keyboard.press("e");
    const answer = page.getByLabel("assistant");
    await answer.fill("");
    await answer.pressSequentially("are you a penguin?");
    await page.keyboard.press("Control+Enter");
    await page.getByText("Question 3").waitFor();
    await page.getByText("1 of 4 left · 1 accepted · 1 edited · 1 rejected").waitFor();
    await page.keyboard.press("b");
    await page.getByText("are you a penguin?").waitFor();
    await page.getByText("accepted as edited").waitFor();
    await page.keyboard.press("u");
    await page.getByText("مرحبا، أنا بخير").waitFor();
    await page.getByRole("button", { name: "Accept" }).click();
    await page.getByText("Question 3").waitFor();
    await page.keyboard.press("a");
    await page.getByText("All decided").waitFor();
    const kept = queue.accepted() as { n: number }[];
    assert.deepEqual(
      kept.map(({ n }) => n),
      [0, 2, 3],
    );
  }));

test("an edit that is given up changes nothing; letters of a text are no keys", () =>
  withQueue(async (page, queue) => {
    await page.getByText("Question 0").waitFor();
    await page.keyboard.press("n");
    await page.getByText("Question 1").waitFor();
    await page.keyboard.press("e");
    await page.getByLabel("user").fill("arbeun");
    await page.keyboard.press("Escape");
    await page.getByText("Question 1").waitFor();
    assert.equal(queue.progress.left, 4);
  }));
