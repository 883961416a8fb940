import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Hono } from "hono";
import { loadPageFiles } from "./page-files.ts";
import { createPages } from "./pages.ts";

test("a page comes with a policy that lets nothing in from elsewhere, and nothing inline run", async () => {
  const response = await createPages().request("/");
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("Content-Type"), "text/html; charset=utf-8");
  const policy = response.headers.get("Content-Security-Policy") ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|https?:|\*|data:/);
  const html = await response.text();
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc="assets\/)|<style|\bstyle=|\bon\w+=|https?:/);
});

test("what a browser has already is not sent again", async () => {
  const app = createPages();
  const first = await app.request("/assets/chat.js");
  const etag = first.headers.get("ETag") ?? "";
  assert.match(etag, /^"[\w-]{22}"$/);
  const ask = (header: string) => app.request("/assets/chat.js", { headers: { "If-None-Match": header } });
  for (const header of [etag, `W/${etag}`, `"other", ${etag}`]) {
    const again = await ask(header);
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
  }
  assert.equal((await ask('"other"')).status, 200);
});

test("the pages that are there lead to each other, and others are not found", async () => {
  const both = createPages({ hasTraining: true });
  assert.match(await (await both.request("/")).text(), /data-other-page="true"/);
  assert.match(await (await both.request("/training")).text(), /data-other-page="true"/);
  assert.notEqual(
    (await both.request("/")).headers.get("ETag"),
    (await createPages().request("/")).headers.get("ETag"),
  );
  assert.equal((await createPages().request("/training")).status, 404);
  const onlyTraining = createPages({ hasChat: false, hasTraining: true });
  const redirect = await onlyTraining.request("/");
  assert.deepEqual([redirect.status, redirect.headers.get("Location")], [302, "training"]);
  assert.doesNotMatch(await (await onlyTraining.request("/training")).text(), /data-other-page/);
});

test("only files of the pages are served, wherever the app is mounted", async () => {
  const app = new Hono().route("/rookery", createPages());
  assert.equal((await app.request("/rookery/assets/chat.css")).status, 200);
  assert.equal((await app.request("/rookery/assets/cmaps/GBK-EUC-H.bcmap")).status, 200);
  for (const path of ["x.js", "../chat.html", "..%2fchat.html", "%2e%2e/chat.html", "chat.html", "cmaps", ""]) {
    assert.equal((await app.request(`/rookery/assets/${path}`)).status, 404, path);
  }
});

test("the chat page without its readers of documents stays below 150 KB on the wire", async () => {
  const files = await loadPageFiles();
  const entry = new TextDecoder().decode(files.get("assets/chat.js")!.bytes);
  const chunks = [...entry.matchAll(/from"\.\/(chunk-\w+\.js)"/g)].map((match) => `assets/${match[1]}`);
  const names = ["chat.html", "assets/chat.css", "assets/theme-early.js", "assets/chat.js", ...new Set(chunks)];
  const bytes = names.map((name) => gzipSync(files.get(name)!.bytes).length).reduce((sum, size) => sum + size, 0);
  assert.ok(bytes > 20_000 && bytes < 150_000, `${bytes} bytes`);
});
