/** The training page in Chromium: a run that goes on, and one that is finished. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { type Dashboard, startDashboard } from "../../src/serve/dashboard.ts";
import { launchBrowser, openPage } from "./browser.ts";
import { FakeRun } from "./fake-run.ts";

let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
});

async function withRun(
  work: (page: Page, run: FakeRun, dashboard: Dashboard) => Promise<void>,
  prepare: (run: FakeRun) => void,
) {
  using run = new FakeRun(500);
  prepare(run);
  const dashboard = await startDashboard({ runFolder: run.folder, host: "127.0.0.1", port: 0 });
  const { page, context, faults, foreign } = await openPage(browser, dashboard.url);
  try {
    await work(page, run, dashboard);
    assert.deepEqual(faults, []);
    assert.deepEqual(foreign, []);
  } finally {
    await context.close();
    await dashboard.close();
  }
}

const chart = (page: Page, title: string) =>
  page.locator("figure").filter({ has: page.getByRole("heading", { name: title, exact: true }) });

test("a run that goes on is followed to its end", () =>
  withRun(
    async (page, run) => {
      await page.getByText("Running").waitFor();
      await page.getByText("The first step is on its way.").waitFor();
      run.train(10);
      await page.getByText("10 of 500").waitFor();
      await chart(page, "Bits per byte").getByText("Waits for the first measurement on held-out text.").waitFor();
      run.train(30);
      run.evaluate(1.25);
      await page.getByText("40 of 500").waitFor();
      await chart(page, "Bits per byte").getByText("held out 1.25").waitFor();
      await chart(page, "Loss, nats a token").getByText("training 3.20").waitFor();
      await page.getByText("164K").waitFor();
      assert.equal(await page.locator(".heat canvas").count(), 3);
      run.finish();
      await page.getByText("Finished").waitFor();
    },
    (run) => run.start(),
  ));

test("every curve and heat map of a finished run says its values at the pointer, and as a table", () =>
  withRun(
    async (page) => {
      await page.getByText("Finished").waitFor();
      const titles = ["Bits per byte", "Loss, nats a token", "Learning rate", "Gradient norm", "Tokens over capacity"];
      for (const title of [...titles, "Speed, tokens/s", "Memory, GB", "Layer 1", "Layer 2", "Layer 3"]) {
        await chart(page, title).waitFor();
        const drawing = chart(page, title).getByRole("img");
        assert.match((await drawing.getAttribute("aria-label")) ?? "", /step|steps/);
        await chart(page, title).getByText("Table").click();
        await chart(page, title).locator("tbody tr").nth(19).waitFor();
      }
      assert.match(await chart(page, "Layer 2").locator("tbody tr").first().innerText(), /^1\s+0\.86\s+2\.00\s+0\.86/);
      for (const title of titles) await chart(page, title).getByText("Table").click();

      // one step under the pointer, in all of them
      const plot = chart(page, "Loss, nats a token").locator(".u-over");
      const box = (await plot.boundingBox())!;
      await plot.hover({ position: { x: box.width / 2, y: 20 } });
      const steps = () => page.locator(".chart-step").allInnerTexts();
      await chart(page, "Memory, GB")
        .getByText("step 250")
        .or(chart(page, "Memory, GB").getByText("step 251"))
        .waitFor();
      assert.equal(new Set(await steps()).size, 1);
      const canvas = chart(page, "Layer 3").locator("canvas");
      await canvas.scrollIntoViewIfNeeded();
      const map = (await canvas.boundingBox())!;
      await canvas.hover({ position: { x: map.width / 4, y: (map.height * 2.5) / 8 } });
      await chart(page, "Layer 3")
        .getByText(/^expert 2 (1\.99|2\.00)×/)
        .waitFor();
      const [first, ...others] = new Set(await steps());
      assert.match(first!, /^step 12\d$/);
      assert.deepEqual(others, []);
    },
    (run) => {
      run.train(500);
      run.evaluate(1.1);
      run.finish();
    },
  ));

test("the page says when the server is gone, and goes on when it is back", () =>
  withRun(
    async (page, run, dashboard) => {
      await page.getByText("5 of 500").waitFor();
      await dashboard.close();
      await page.getByRole("alert").getByText("Trying again.").waitFor();
      run.train(1);
      const port = Number(new URL(dashboard.url).port);
      const again = await startDashboard({ runFolder: run.folder, host: "127.0.0.1", port });
      await page.getByText("6 of 500").waitFor();
      await page.getByRole("alert").waitFor({ state: "detached" });
      await again.close();
    },
    (run) => {
      run.start();
      run.train(5);
    },
  ));

test("a phone of 360 pixels shows it without scrolling sideways", async () => {
  using run = new FakeRun(50);
  run.train(50);
  run.finish();
  const dashboard = await startDashboard({ runFolder: run.folder, host: "127.0.0.1", port: 0 });
  const { page, context } = await openPage(browser, dashboard.url, {
    viewport: { width: 360, height: 740 },
    isMobile: true,
  });
  await page.locator(".heat canvas").first().waitFor();
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
  await context.close();
  await dashboard.close();
});
