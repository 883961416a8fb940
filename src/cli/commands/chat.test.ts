import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, it } from "node:test";
import { tinyModel, tinyTokenizer, writeTinyModel } from "../../../test/tiny-model.ts";
import { LocalEngine } from "../../engine/local-engine.ts";
import type { EngineHandle } from "../../engine/request.ts";
import { createApp } from "../../serve/app.ts";
import { listen } from "../../serve/listen.ts";
import { Execution } from "../../tensor/execution.ts";
import type { Terminal } from "../command.ts";
import { main } from "../main.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-chat-"));
let folder = "";
before(async () => {
  folder = await writeTinyModel(root);
});
after(() => fs.rmSync(root, { recursive: true, force: true }));

type Options = {
  stdin?: string | undefined;
  terminal?: Terminal;
  signal?: AbortSignal;
  environment?: Record<string, string>;
  onText?: (text: string) => void;
};

async function run(words: string[], options: Options = {}) {
  const { stdin = "", terminal, signal = new AbortController().signal, environment = {}, onText } = options;
  const output = { stdout: "", stderr: "" };
  const record = (name: "stdout" | "stderr") => ({
    write(text: string) {
      output[name] += text;
      if (name === "stdout") onText?.(text);
    },
  });
  const pieces = async function* () {
    // cut inside a character
    yield Buffer.from(stdin).subarray(0, 1);
    yield Buffer.from(stdin).subarray(1);
  };
  const streams = { stdout: record("stdout"), stderr: record("stderr"), environment, stdin: pieces() };
  const code = await main(["chat", ...words], { ...streams, terminal, signal });
  return { code, ...output };
}

const short = ["--max-tokens", "12", "--seed", "3", "--threads", "1"];

async function said(lines: string, words: string[] = short) {
  const { code, stdout, stderr } = await run([folder, ...words, "--json"], { stdin: lines });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as { format: string; messages: { role: string; content: string }[]; answerTokens: number };
}

describe("rookery chat, piped", () => {
  it("answers a line at a time, and the next answer knows what was said", async () => {
    const { format, messages, answerTokens } = await said("é hello\n\nand now?\n");
    assert.equal(format, "rookery-chat/1");
    assert.deepEqual(
      messages.map(({ role }) => role),
      ["user", "assistant", "user", "assistant"],
    );
    assert.equal(answerTokens, 24);
    assert.deepEqual((await said("é hello\n")).messages, messages.slice(0, 2), "the same seed, the same answer");
    assert.notEqual((await said("and now?\n")).messages[1]!.content, messages[3]!.content);
  });

  it("shows answers as they come, and nothing that steers the terminal", async () => {
    const { messages } = await said("hello\n");
    const texts: string[] = [];
    const { code, stdout } = await run([folder, ...short], { stdin: "hello", onText: (text) => texts.push(text) });
    assert.equal(code, 0);
    assert.equal(stdout, `${messages[1]!.content.replace(/[^\P{Cc}\n\t]/gu, "�")}\n`);
    assert.ok(texts.length > 3);
  });

  it("begins anew at /reset, and with another system prompt at /system", async () => {
    const { messages } = await said("one\n/system be kind\\\nand brief\nhello\n/reset\ntwo\n", [
      ...short,
      "--system",
      "x",
    ]);
    assert.deepEqual(
      messages.map(({ role, content }) => (role === "assistant" ? role : content)),
      ["be kind\nand brief", "two", "assistant"],
    );
    assert.equal((await said("/system\nhello\n", [...short, "--system", "x"])).messages.length, 2);
  });

  it("tells what there is at /help, and of commands that there are not; /exit leaves", async () => {
    const { code, stdout, stderr } = await run([folder, ...short], { stdin: "/help\n/sing\n/exit\nhello\n" });
    assert.equal(code, 0);
    assert.equal(stdout, "");
    assert.match(stderr, /\/reset .*[\s\S]*no command \/sing; \/help/);
  });

  it("ends with what was wrong when an answer fails, and with 130 when interrupted", async () => {
    const { code, stderr } = await run([folder, ...short], { stdin: "a ".repeat(2000) });
    assert.equal(code, 2);
    assert.match(stderr, /^rookery: .* answered 400: .*\n$/m);
    const controller = new AbortController();
    const interrupted = await run([folder, "--threads", "1"], {
      stdin: "hello\nagain\n",
      signal: controller.signal,
      onText: () => controller.abort(),
    });
    assert.equal(interrupted.code, 130);
  });
});

describe("rookery chat with a server", () => {
  const keys = ["secret"];
  async function withServer(use: (url: string, engine: EngineHandle) => Promise<void>): Promise<void> {
    using model = tinyModel();
    using execution = new Execution({ threads: 1, computeType: "f32" });
    model.keepPacked(execution.pool, "f32");
    const tokenizer = tinyTokenizer();
    const engine = new LocalEngine({ execution, model, tokenizer });
    const generation = { bosTokenId: null, eosTokenIds: [tokenizer.controlId("eos")], padTokenId: null };
    const app = createApp(engine, { model: { id: "tiny", tokenizer, generation, createdSeconds: 0 }, apiKeys: keys });
    const server = await listen((request) => app.fetch(request), { host: "127.0.0.1", port: 0 });
    try {
      await use(server.url, engine);
    } finally {
      await server.close(0, () => {});
      await engine.close();
    }
  }

  it("talks to its first model, with the key of the environment", async () => {
    await withServer(async (url) => {
      const words = [url, "--max-tokens", "9", "--json"];
      const good = await run(words, { stdin: "hello\n", environment: { ROOKERY_API_KEY: "secret" } });
      assert.equal(good.code, 0, good.stderr);
      const { model, answerTokens } = JSON.parse(good.stdout);
      assert.equal(model, "tiny");
      assert.ok(answerTokens > 0 && answerTokens <= 9);
      const bad = await run(words, { stdin: "hello\n" });
      assert.equal(bad.code, 2);
      assert.match(bad.stderr, /answered 401: .*ROOKERY_API_KEY/);
    });
    const gone = await run(["http://127.0.0.1:9/"], { stdin: "hello\n" });
    assert.equal(gone.code, 2);
    assert.match(gone.stderr, /does not answer/);
  });
});

describe("rookery chat at a terminal", () => {
  /** Refuses "fail"; to all else it begins an answer that has no end. */
  async function fakeServer(request: Request): Promise<Response> {
    if (request.method === "GET") return Response.json({ data: [{ id: "fake" }] });
    const { messages } = (await request.json()) as { messages: { content: string }[] };
    if (messages.at(-1)!.content === "fail") {
      return Response.json({ error: { message: "it cannot be answered" } }, { status: 400 });
    }
    const chunk = { choices: [{ delta: { content: `answer ${messages.length}` } }] };
    const start = (stream: ReadableStreamDefaultController<Uint8Array>) =>
      stream.enqueue(Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`));
    return new Response(new ReadableStream({ start }), { headers: { "Content-Type": "text/event-stream" } });
  }

  /** Types each text when what is to come before it is on the screen. */
  async function type(steps: readonly (readonly [seen: RegExp, typed: string])[]) {
    const server = await listen(fakeServer, { host: "127.0.0.1", port: 0 });
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input });
    const output = Object.assign(new PassThrough(), { isTTY: true, columns: 80 });
    let screen = "";
    let step = 0;
    const show = (text: string) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves the cursor is not looked for
      screen += text.replace(/\x1b\[[\d;]*[A-Za-z]/g, "");
      if (!steps[step]?.[0].test(screen)) return;
      screen = "";
      input.write(steps[step++]![1]);
    };
    output.on("data", (bytes: Buffer) => show(bytes.toString()));
    const terminal = { input, output } as unknown as Terminal;
    const result = await run([server.url], { terminal, onText: show });
    await server.close(0, () => {});
    assert.equal(step, steps.length);
    return result;
  }

  it("asks for lines; Ctrl-C stops an answer, and another one leaves", async () => {
    const { code, stderr } = await type([
      [/> $/, "hello\r"],
      [/answer 1/, "\x03"],
      [/> $/, "again\r"],
      [/answer 3/, "\x03"],
      [/> $/, "\x03"],
    ]);
    assert.equal(code, 0);
    assert.match(stderr, /talking to fake; \/help[\s\S]*stopped/);
  });

  it("brings back earlier lines, and goes on after an answer that has failed", async () => {
    const { code, stderr } = await type([
      [/> $/, "fail\r"],
      [/> $/, "/sing\r"],
      [/> $/, "\x1b[A"],
      [/sing$/, "\r"],
      [/> $/, "\x04"],
    ]);
    assert.equal(code, 0);
    assert.equal(stderr.match(/no command \/sing/g)!.length, 2);
    assert.match(stderr, /warning: .* answered 400: it cannot be answered/);
  });
});

it("is what a user gets from the shell", async () => {
  const rookery = path.join(import.meta.dirname, "../../../bin/rookery.js");
  const child = spawn(process.execPath, [rookery, "chat", folder, ...short], { cwd: root });
  const ended: Record<"stdout" | "stderr", string> = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name].on("data", (bytes) => (ended[name] += bytes));
  child.stdin.end("hello\nagain\n");
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 0, ended.stderr);
  assert.ok(ended.stdout.split("\n").length >= 3);
});
