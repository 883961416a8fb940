/** The pages from `rookery serve` itself, around a tiny model: what the other tests' server plays is so. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { ServeModelOptions } from "../../src/serve/serve-model.ts";
import { type LiveServer, startLiveServer } from "../live-server.ts";
import { launchBrowser, openPage } from "./browser.ts";
import { FakeRun } from "./fake-run.ts";

let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
});

async function withServer(
  options: Partial<ServeModelOptions>,
  work: (server: LiveServer) => Promise<void>,
): Promise<void> {
  const server = await startLiveServer(options);
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

async function ask(page: Page, text: string): Promise<void> {
  const answers = await page.locator(".answer").count();
  await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.locator(".answer").nth(answers).getByRole("button", { name: "Answer again" }).waitFor();
}

test("chat, its experts, a document from the cache, and the training page, from one server", async () => {
  using run = new FakeRun(30);
  run.start();
  run.train(5);
  await withServer({ runFolder: run.folder }, async ({ url }) => {
    const { page, context, faults, foreign } = await openPage(browser, url);
    await page.getByText("tiny", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("dialog").getByLabel("Longest answer").fill("12");
    await page.getByLabel("Record which experts handle each token").check();
    await page.getByRole("button", { name: "Done" }).click();
    await ask(page, "the penguins");
    const facts = page.locator(".answer").last().locator(".facts");
    assert.match(await facts.innerText(), /to first token/);
    assert.match(await facts.innerText(), /written/);
    await page.getByRole("button", { name: "Experts", exact: true }).click();
    await page.getByText("Layer 1 of 5").waitFor();
    const tokens = await page.getByRole("option").all();
    assert.ok(tokens.length >= 10);
    for (const token of tokens)
      assert.match((await token.getAttribute("aria-label")) ?? "", /: expert [0-3], \d+(\.\d)?%$/);
    await page.getByRole("group", { name: "Read" }).waitFor();

    await page.getByRole("button", { name: "Chat", exact: true }).click();
    const text = "the rookery on the rock and the cold sea ".repeat(20);
    await page
      .getByTestId("document")
      .setInputFiles({ name: "rock.txt", mimeType: "text/plain", buffer: Buffer.from(text) });
    await page.locator(".chip", { hasText: /rock\.txt\s*\d+ tokens/ }).waitFor();
    await ask(page, "the rock");
    await ask(page, "the sea");
    assert.match(await facts.innerText(), /\d+ cached/);

    await page.getByRole("link", { name: "Training page" }).click();
    await page.getByText("5 of 30").waitFor();
    run.train(5);
    await page.getByText("10 of 30").waitFor();
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByText("What would you like to ask?").waitFor();
    assert.deepEqual(faults, []);
    assert.deepEqual(foreign, []);
    // left open on the page that follows a run: the server ends all the same
    await page.goto(`${url}/training`);
    await page.getByText("10 of 30").waitFor();
    void context;
  });
});

test("an answer that is stopped stops the engine", async () => {
  await withServer({}, async ({ url, metric }) => {
    const { page, context } = await openPage(browser, url);
    await page.getByRole("textbox", { name: "Message", exact: true }).fill("the sea");
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await page
      .getByRole("button", { name: /^(Stop|Answer again)$/ })
      .first()
      .waitFor();
    await context.close();
    while ((await metric("rookery_num_requests_running")) > 0) await new Promise((resolve) => setImmediate(resolve));
  });
});

test("with keys, the browser asks for one before the page is there, and the page needs no other", async () => {
  await withServer({ apiKeys: ["secret"] }, async ({ url }) => {
    assert.equal((await fetch(url)).status, 401);
    const { page, context, faults } = await openPage(browser, url, {
      httpCredentials: { username: "me", password: "secret" },
    });
    await page.getByText("tiny", { exact: true }).waitFor();
    await ask(page, "the rock");
    await page.locator(".answer .facts").getByText("written").waitFor();
    assert.deepEqual(faults, []);
    await context.close();
  });
});
