/** Real Chromium, as the system has it; told to leave the network alone. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const places = [
  process.env.ROOKERY_CHROMIUM ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** @throws when none is installed: these tests are asked for by name, so they never pass by doing nothing. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = places.find((place) => place !== "" && existsSync(place));
  assert.ok(executablePath, "no Chromium is installed (Debian: apt-get install chromium); ROOKERY_CHROMIUM names one");
  return await chromium.launch({
    executablePath,
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
}

export type Watched = {
  page: Page;
  context: BrowserContext;
  /** Addresses outside `address` that the page asked for. */
  foreign: string[];
  /** What broke the content policy, or was thrown and not caught. */
  faults: string[];
};

/** A page of its own (no storage from before) at `address`, with everything noted that it must not do. */
export async function openPage(
  browser: Browser,
  address: string,
  options: Parameters<Browser["newContext"]>[0] = {},
): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const watched: Watched = { page, context, foreign: [], faults: [] };
  context.on("request", (request) => {
    if (!request.url().startsWith(new URL(address).origin) && !/^(data|blob):/.test(request.url())) {
      watched.foreign.push(request.url());
    }
  });
  page.on("pageerror", (error) => watched.faults.push(String(error)));
  page.on("console", (message) => {
    const text = message.text();
    if (/content security policy|refused to|violat/i.test(text)) watched.faults.push(text);
  });
  await page.goto(address);
  return watched;
}
