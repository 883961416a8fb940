/** The chat page in Chromium, before a server that says what each test wants to see. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, openPage, type Watched } from "./browser.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";

let browser: Browser;
let fake: FakeServer;
let watched: Watched | undefined;

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
});

afterEach(async () => {
  const { foreign, faults } = watched ?? { foreign: [], faults: [] };
  await watched?.context.close();
  await fake?.close();
  assert.deepEqual(foreign, [], "the page asked somebody else");
  assert.deepEqual(faults, [], "the page broke its policy, or threw");
});

async function open(options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
  fake = await startFakeServer();
  watched = await openPage(browser, fake.address, options);
  return watched.page;
}

const box = (page: Page) => page.getByRole("textbox", { name: "Message", exact: true });
const button = (page: Page, name: string | RegExp) => page.getByRole("button", { name, exact: true });
const lastAnswer = (page: Page) => page.locator(".answer").last();

async function say(page: Page, text: string): Promise<void> {
  await box(page).fill(text);
  await button(page, "Send").click();
}

/** Says something and waits until the answer is whole. */
async function ask(page: Page, text: string): Promise<void> {
  const answers = await page.locator(".answer").count();
  await say(page, text);
  await page.locator(".answer").nth(answers).getByRole("button", { name: "Answer again" }).waitFor();
}

/** Until the server has seen something. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

const rolesOf = (index: number) => fake.requests[index]!.messages.map(({ role }) => role);

test("a question is answered as markdown, with what it took", async () => {
  const page = await open();
  await page.getByText("What would you like to ask?").waitFor();
  await ask(page, "Why?");
  await lastAnswer(page).locator("strong", { hasText: "breed in colonies" }).waitFor();
  assert.equal(await lastAnswer(page).locator("ol > li").count(), 2);
  assert.equal(await lastAnswer(page).locator("pre code").innerText(), 'const colony: string = "rookery";\n');
  const facts = await lastAnswer(page).locator(".facts").innerText();
  assert.match(facts, /to first token/);
  assert.match(facts, /tokens\/s/);
  assert.match(facts, /34 written/);
  assert.equal(await page.title(), "Why? · Rookery");
  assert.match(await page.locator("[role=status]").innerText(), /^Answer: Penguins/);
  await ask(page, "And then?");
  assert.deepEqual(rolesOf(1), ["user", "assistant", "user"]);
});

test("Enter sends, Shift+Enter starts a line, and what is being composed is not sent", async () => {
  const page = await open();
  await box(page).fill("one");
  await box(page).press("Shift+Enter");
  await box(page).pressSequentially("two");
  await box(page).dispatchEvent("keydown", { key: "Enter", isComposing: true });
  assert.equal(fake.requests.length, 0);
  await box(page).press("Enter");
  await button(page, "Answer again").waitFor();
  assert.equal(fake.requests[0]!.messages[0]!.content, "one\ntwo");
});

test("an answer can be stopped, continued and asked for again", async () => {
  const page = await open();
  await say(page, "endless");
  await lastAnswer(page).getByText("They come back").first().waitFor();
  await button(page, "Stop").click();
  await lastAnswer(page).getByText("Stopped.").waitFor();
  await until(() => fake.abandoned === 1);
  await button(page, "Continue this answer").click();
  await lastAnswer(page).getByText("And this follows.").waitFor();
  assert.deepEqual(rolesOf(1), ["user", "assistant"]);
  await button(page, "Edit question").click();
  const editor = page.getByRole("textbox", { name: "Edit question" });
  await editor.fill("something else");
  await button(page, "Send").first().click();
  await lastAnswer(page).getByText("That is all.").waitFor();
  assert.equal(await page.locator(".message").count(), 2);
  await button(page, "Answer again").click();
  await until(() => fake.requests.length === 4);
  await lastAnswer(page).getByText("That is all.").waitFor();
  assert.deepEqual(rolesOf(3), ["user"]);
  assert.equal(fake.requests[3]!.messages[0]!.content, "something else");
});

test("a reload keeps the conversation, its settings and the list", async () => {
  const page = await open();
  await button(page, "Settings").click();
  const dialog = page.getByRole("dialog", { name: "Settings of this conversation" });
  await dialog.getByLabel("System prompt").fill("Be brief.");
  await dialog.getByLabel("Temperature").fill("0.3");
  await dialog.getByLabel("Seed").fill("7");
  await button(page, "Done").click();
  await ask(page, "First");
  assert.deepEqual(fake.requests[0]!.messages[0], { role: "system", content: "Be brief." });
  assert.equal(fake.requests[0]!.temperature, 0.3);
  assert.equal(fake.requests[0]!.seed, 7);
  await button(page, "New conversation").first().click();
  await page.getByText("What would you like to ask?").waitFor();
  await ask(page, "Second");
  await page.reload();
  await page.locator(".bubble", { hasText: "Second" }).waitFor();
  await page.locator(".conversation-open", { hasText: "First" }).click();
  await page.locator(".bubble", { hasText: "First" }).waitFor();
  await lastAnswer(page).getByText("That is all.").waitFor();
  await ask(page, "Third");
  assert.equal(fake.requests[2]!.messages[0]!.content, "Be brief.");
  page.once("dialog", (question) => void question.accept());
  await page.locator(".conversation", { hasText: "Second" }).hover();
  await button(page, "Delete Second").click();
  await page.locator(".conversation", { hasText: "Second" }).waitFor({ state: "detached" });
  await page.reload();
  await page.locator(".conversation", { hasText: "First" }).waitFor();
  assert.equal(await page.locator(".conversation-open").count(), 1);
});

test("hostile output does nothing and asks for nothing", async () => {
  const page = await open();
  await ask(page, "hostile");
  await lastAnswer(page).getByText("safe text at the end").waitFor();
  assert.equal(await page.evaluate("window.hacked"), undefined);
  assert.deepEqual(
    fake.paths.filter((path) => path.includes("beacon")),
    [],
  );
  const forbidden = ".prose .block:not(.code-block) :is(img, script, iframe, style, svg, object, form, [onmouseover])";
  assert.equal(await page.locator(forbidden).count(), 0);
  const addresses = (await page.evaluate(
    "[...document.querySelectorAll('.prose a')].map((link) => link.href)",
  )) as string[];
  assert.ok(addresses.length > 0);
  assert.deepEqual(
    addresses.filter((address) => !address.startsWith("https://example.invalid")),
    [],
  );
});

test("each block runs in the direction of its script", async () => {
  const page = await open();
  await ask(page, "arabic");
  const directions = await page.evaluate(
    "[...document.querySelectorAll('.answer .prose :is(p, ol, li)')].map((one) => getComputedStyle(one).direction)",
  );
  assert.deepEqual(directions, ["rtl", "rtl", "rtl", "rtl", "ltr"]);
});

test("errors are told in words, and leave the conversation usable", async () => {
  const page = await open();
  await ask(page, "busy");
  await lastAnswer(page).getByText("The server has all the work it can take. Try again in 7 s.").waitFor();
  await ask(page, "too long");
  await lastAnswer(page).getByText("This model reads 32768 tokens").waitFor();
  await ask(page, "break");
  await lastAnswer(page).getByText("The connection broke in the middle of the answer.").waitFor();
  await lastAnswer(page).getByText("Penguins").waitFor();
  await ask(page, "cut");
  await lastAnswer(page).getByText("reached its greatest length").waitFor();
  await fake.close();
  await ask(page, "anybody?");
  await lastAnswer(page).getByText("The server does not answer.").waitFor();
});

test("a server that asks for a key gets it, and the tab alone keeps it", async () => {
  const page = await open();
  fake.key = "right";
  await page.reload();
  const dialog = page.getByRole("dialog", { name: "This server asks for a key" });
  await dialog.getByLabel("API key").fill("wrong");
  await button(page, "Use this key").click();
  await dialog.getByText("did not take that key").waitFor();
  await dialog.getByLabel("API key").fill("right");
  await button(page, "Use this key").click();
  await dialog.waitFor({ state: "detached" });
  await ask(page, "Why?");
  await page.reload();
  await lastAnswer(page).getByText("That is all.").waitFor();
  assert.equal(await page.evaluate("sessionStorage.getItem('rookery.apiKey')"), "right");
  assert.doesNotMatch(String(await page.evaluate("JSON.stringify(localStorage)")), /right/);
});

test("a reader who has scrolled up stays there while the answer grows; others follow it", async () => {
  const page = await open();
  await ask(page, "long");
  const distance = () =>
    page.evaluate(
      "(() => { const t = document.querySelector('.thread'); return t.scrollHeight - t.scrollTop - t.clientHeight; })()",
    ) as Promise<number>;
  assert.ok((await distance()) < 2);
  await say(page, "endless");
  await lastAnswer(page).getByText("They come back").first().waitFor();
  await page.locator(".thread").hover();
  await page.mouse.wheel(0, -1500);
  await button(page, "To the newest message").waitFor();
  const place = await page.evaluate("document.querySelector('.thread').scrollTop");
  await lastAnswer(page).getByText("They come back").nth(2).waitFor();
  assert.equal(await page.evaluate("document.querySelector('.thread').scrollTop"), place);
  await button(page, "To the newest message").click();
  assert.ok((await distance()) < 100);
  await button(page, "Stop").click();
});

test("a phone of 360 pixels shows everything without scrolling sideways", async () => {
  const page = await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await ask(page, "table");
  await ask(page, `${"long".repeat(60)} ${"word ".repeat(30)}`);
  const widest = () => page.evaluate("document.documentElement.scrollWidth");
  assert.equal(await widest(), 360);
  await button(page, "Conversations").click();
  await page.getByRole("dialog", { name: "Conversations" }).getByText("table").waitFor();
  await button(page, "Close").click();
  await button(page, "Settings").click();
  await page.getByRole("dialog").waitFor();
  assert.equal(await widest(), 360);
});

test("every control has a name, and the order of focus is that of the page", async () => {
  const page = await open();
  await ask(page, "table");
  const nameless =
    await page.evaluate(`[...document.querySelectorAll("button, a[href], input, textarea, select, [tabindex='0']")]
    .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
    .map((one) => one.outerHTML)`);
  assert.deepEqual(nameless, []);
  const ids = (await page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")) as string[];
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(await page.locator("main").count(), 1);
  assert.equal(await page.locator("html[lang]").count(), 1);
  await page.evaluate("document.activeElement.blur()");
  const order: string[] = [];
  for (let step = 0; step < 9; step++) {
    await page.keyboard.press("Tab");
    order.push(
      String(
        await page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"),
      ),
    );
  }
  assert.deepEqual(order.slice(0, 4), ["Skip to the conversation", "New conversation", "table", "Delete table"]);
  assert.deepEqual(order.slice(4, 6), ["Chat", "Experts"]);
  await button(page, "Settings").click();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.evaluate("document.activeElement.getAttribute('aria-label')"), "Settings");
});

test("the theme can be chosen, and outlives a reload", async () => {
  const page = await open({ colorScheme: "light" });
  const paper = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
  const light = await paper();
  await button(page, /^Theme: system/).click();
  await button(page, /^Theme: light/).click();
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await paper(), dark);
});
