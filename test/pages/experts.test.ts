/** Which expert handled each token, in Chromium. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { launchBrowser, openPage } from "./browser.ts";
import { startFakeServer } from "./fake-server.ts";

let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
});

test("an answer is recorded, colored by layer, and told token by token", async () => {
  const fake = await startFakeServer();
  const { page, context, faults } = await openPage(browser, fake.address);
  const button = (name: string | RegExp) => page.getByRole("button", { name, exact: true });
  await page.getByRole("textbox", { name: "Message", exact: true }).fill("Why is it so?");
  await button("Send").click();
  await button("Answer again").waitFor();
  assert.equal(fake.requests[0]!.rookery, undefined);

  await button("Experts").click();
  await button("Answer again and record").click();
  const tokens = page.getByRole("option");
  await page.getByRole("group", { name: "Written" }).waitFor();
  await tokens.nth(37).waitFor();
  assert.deepEqual(fake.requests[1]!.rookery, { experts: true });
  assert.equal(await tokens.count(), 4 + 34);
  assert.equal(await page.getByRole("group", { name: "Read" }).getByRole("option").count(), 4);

  // the record says: token 1, layer by layer, expert (7 + 3 · layer + length) mod 8
  const second = tokens.nth(1);
  assert.equal(await second.getAttribute("aria-label"), " is: expert 2, 35%");
  await page.getByRole("slider").press("ArrowRight");
  assert.equal(await second.getAttribute("aria-label"), " is: expert 5, 45%");
  await page.getByText("Layer 2 of 4").waitFor();

  await second.hover();
  const inspector = page.getByRole("region", { name: "The chosen token in every layer" });
  await inspector.getByText("token 2").waitFor();
  assert.match(await inspector.innerText(), /2\s+35%[\s\S]+5\s+45%[\s\S]+0\s+55%[\s\S]+3\s+65%/);
  await second.focus();
  await page.keyboard.press("ArrowRight");
  await inspector.getByText("token 3").waitFor();
  await page.keyboard.press("End");
  await inspector.getByText("token 38").waitFor();

  // the legend says every expert's share, and shows its tokens alone
  const legend = page.getByRole("list", { name: "Experts of this layer and their share of the tokens" });
  const shares = (await legend.locator(".legend-share").allInnerTexts()).map(Number.parseFloat);
  assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100) < 4);
  assert.equal(shares.length, 9, "the one that no token came to is there too");
  assert.equal(shares[8], 0);
  const entry = legend.getByRole("button", { name: /^Expert 5:/ });
  await entry.click();
  const faint = await page.locator(".token.is-faint").count();
  assert.equal(38 - faint, await page.locator(".token:not(.is-faint)").count());
  for (const text of await page.locator(".token:not(.is-faint) .token-expert").allInnerTexts()) assert.equal(text, "5");

  // kept over a reload
  await page.reload();
  await button("Experts").click();
  await tokens.nth(37).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
  await fake.close();
});
