/** A long document in front of a conversation, in Chromium: text, HTML, PDF, and what is neither. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launchBrowser, openPage } from "./browser.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";

let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
});

/** Lets go of a file over the page, as a hand would. */
async function drop(page: Page, name: string, type: string, contents: string | Uint8Array): Promise<void> {
  const data = Buffer.from(contents as string).toString("base64");
  await page.evaluate(
    `(() => {
      const bytes = Uint8Array.from(atob(${JSON.stringify(data)}), (one) => one.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], ${JSON.stringify(name)}, { type: ${JSON.stringify(type)} }));
      for (const kind of ["dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
      }
    })()`,
  );
}

async function ask(page: Page, text: string): Promise<void> {
  const answers = await page.locator(".answer").count();
  await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.locator(".answer").nth(answers).getByRole("button", { name: "Answer again" }).waitFor();
}

async function withPage(work: (page: Page, fake: FakeServer) => Promise<void>): Promise<void> {
  const fake = await startFakeServer();
  const { page, context, faults, foreign } = await openPage(browser, fake.address);
  try {
    await work(page, fake);
    assert.deepEqual(faults, []);
    assert.deepEqual(foreign, []);
  } finally {
    await context.close();
    await fake.close();
  }
}

/** Waits until the file stands in front of a conversation; while it is read, a chip names it already, over the old one. */
async function documentIsRead(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name: `Remove ${name}` }).waitFor();
}

/** A PDF of one page with a line of text. */
function tinyPdf(text: string): string {
  const stream = `BT /F1 12 Tf 72 720 Td (${text}) Tj ET`;
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${stream.length} >>\nstream\n${stream}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ];
  let file = "%PDF-1.4\n";
  const offsets = objects.map((object, index) => {
    const offset = file.length;
    file += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const entries = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("");
  return `${file}xref\n0 6\n0000000000 65535 f \n${entries}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n${file.length}\n%%EOF\n`;
}

test("a text is read once, asked about twice, and stays over a reload", () =>
  withPage(async (page, fake) => {
    await drop(page, "history.txt", "text/plain", "All about rookeries.\r\n\r\n\r\n\r\nIn many words.");
    await page.getByRole("heading", { name: "history.txt" }).waitFor();
    await page.locator(".chip", { hasText: "7 tokens" }).waitFor();
    await ask(page, "What is it about?");
    await ask(page, "And what else?");
    const [first, second] = fake.requests.map(({ messages }) => messages[0]!);
    assert.equal(first!.role, "system");
    assert.match(first!.content, /<document name="history.txt">\nAll about rookeries.\n\nIn many words.\n<\/document>/);
    assert.deepEqual(second, first);
    assert.match(await page.locator(".answer").last().locator(".facts").innerText(), /1\d cached/);
    await page.reload();
    await documentIsRead(page, "history.txt");
    await ask(page, "Still there?");
    assert.deepEqual(fake.requests[2]!.messages[0], first);
    await page.getByRole("button", { name: "Remove history.txt" }).click();
    await ask(page, "Gone?");
    assert.equal(fake.requests[3]!.messages[0]!.role, "user");
  }));

test("a page of HTML gives its article; it runs nothing and loads nothing", () =>
  withPage(async (page, fake) => {
    const article = Array.from({ length: 8 }, (_, index) => `<p>Paragraph ${index}, with enough words to be text.</p>`);
    const html = `<html><head><title>On rookeries</title><script>window.hacked = 1</script></head><body><nav><a href="/">Home</a></nav>
      <article><h1>On rookeries</h1>${article.join("")}<ul><li>one</li><li>two</li></ul><img src="/beacon.png" onerror="window.hacked=2"></article></body></html>`;
    await drop(page, "page.html", "text/html", html);
    await documentIsRead(page, "page.html");
    await ask(page, "What?");
    const { content } = fake.requests[0]!.messages[0]!;
    assert.match(content, /On rookeries\n\n[\s\S]*Paragraph 0, with enough words to be text.\n\nParagraph 1/);
    assert.match(content, /- one\n+- two/);
    assert.doesNotMatch(content, /hacked|Home/);
    assert.equal(await page.evaluate("window.hacked"), undefined);
    assert.ok(!fake.paths.some((path) => path.includes("beacon")));
  }));

test("a PDF is read by a worker that comes from here", () =>
  withPage(async (page, fake) => {
    assert.ok(!fake.paths.some((path) => path.includes("pdf")), "pdf.js is fetched only when it is needed");
    await drop(page, "paper.pdf", "application/pdf", tinyPdf("Penguins in a portable document."));
    await documentIsRead(page, "paper.pdf");
    await ask(page, "What?");
    assert.match(fake.requests[0]!.messages[0]!.content, /Penguins in a portable document\./);
    assert.ok(fake.paths.includes("/assets/pdf-worker.js"));
  }));

test("what cannot be read is refused in words; a second document starts a conversation of its own", () =>
  withPage(async (page) => {
    await drop(page, "picture.png", "image/png", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 255]));
    await page.getByRole("alert").getByText("picture.png is no text in UTF-8, no HTML and no PDF.").waitFor();
    await drop(page, "broken.pdf", "application/pdf", "%PDF-1.4 and then nothing");
    await page.getByRole("alert").getByText("broken.pdf could not be read").waitFor();
    await drop(page, "empty.txt", "text/plain", "  \n ");
    await page.getByRole("alert").getByText("empty.txt holds no text.").waitFor();
    await drop(page, "one.txt", "text/plain", "one");
    await documentIsRead(page, "one.txt");
    await ask(page, "What?");
    await drop(page, "two.txt", "text/plain", "two");
    await documentIsRead(page, "two.txt");
    assert.equal(await page.locator(".message").count(), 0);
    await page.locator(".conversation-open").nth(1).waitFor();
    assert.equal(await page.locator(".conversation-open").count(), 2);
  }));
