/**
 * A run of synthesis that is killed again and again ends with the set of the undisturbed one, and asks for nothing twice that had been
 * answered, but for what was under way. It is killed when the server hears its n-th request, n drawn from a seed: any moment, and no
 * clock. `npm run test:long` sets ROOKERY_LONG_TESTS: 30 kills of 5,000 records.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, it } from "node:test";
import { streamKeys, uniform } from "../../src/base/random.ts";
import { serveScripted } from "../scripted-endpoint.ts";

const isLong = process.env.ROOKERY_LONG_TESTS !== undefined;
const [records, kills] = isLong ? [5000, 30] : [40, 2];
const concurrency = 16;
const rookery = path.join(import.meta.dirname, "../../bin/rookery.js");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-synth-kill-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function writeConfig(url: string): string {
  const passages = Array.from(
    { length: 400 },
    (_, one) => `The harbor of pier ${one} has ${one * 7} boats, which leave at dawn.`,
  );
  fs.writeFileSync(path.join(folder, "harbors.txt"), passages.join("\n\n"));
  const config = {
    records,
    seeds: [{ path: path.join(folder, "harbors.txt"), domain: "sea", language: "en" }],
    tasks: { records: Math.floor(records / 10), families: ["arithmetic"], answeredBy: "models" },
    endpoints: { table: { url, concurrency } },
    roles: { generator: "table", critic: "table" },
    generate: { passageCharacters: 100, forms: ["explain", "fact"] },
    answer: { samples: 2 },
    runsFolder: folder,
  };
  const file = path.join(folder, "synth.json");
  fs.writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Every request by its hash: how often it was asked, and whether it had been answered. */
class Book {
  asked = 0;
  readonly answered = new Set<string>();
  /** Asked for after they had been answered. */
  repeated = 0;
  killAt = Number.POSITIVE_INFINITY;
  child: ChildProcess | undefined;

  onRequest(body: string): void {
    this.asked += 1;
    if (this.answered.has(hashOf(body))) this.repeated += 1;
    if (this.asked >= this.killAt) this.child?.kill("SIGKILL");
  }

  onAnswer(body: string): void {
    this.answered.add(hashOf(body));
  }
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("base64");

async function run(book: Book, config: string, name: string, isResumed: boolean): Promise<number | null> {
  const args = ["synth", "run", config, "--name", name, ...(isResumed ? ["--resume"] : [])];
  const child = spawn(process.execPath, [rookery, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  book.child = child;
  let errors = "";
  child.stderr.on("data", (text: Buffer) => {
    errors = (errors + text).slice(-2000);
  });
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.ok(code === 0 || code === null, errors);
  return code;
}

it("killed at any moment, ends the same and repeats only what was under way", async (test) => {
  const book = new Book();
  const { url, server } = await serveScripted(
    (body) => book.onRequest(body),
    (body) => book.onAnswer(body),
  );
  try {
    const config = writeConfig(url);
    await run(book, config, "calm", false);
    const total = book.asked;
    assert.ok(total > records, `${total} requests`);
    assert.equal(book.repeated, 0);
    book.asked = 0;
    book.answered.clear();

    const keys = streamKeys(20241105, "kills");
    const moments = Array.from({ length: kills }, (_, one) => Math.ceil(uniform(keys, one) * total)).sort(
      (a, b) => a - b,
    );
    let killed = 0;
    for (const moment of moments) {
      // what is asked again counts, so that each session gets somewhere
      book.killAt = Math.max(moment, book.asked + 1);
      const code = await run(book, config, "killed", fs.existsSync(path.join(folder, "killed", "config.json")));
      if (code === 0) break;
      killed += 1;
      assert.ok(book.repeated <= killed * concurrency, `${book.repeated} requests were repeated by kill ${killed}`);
    }
    assert.ok(killed >= kills - 1, `${killed} kills`);
    book.killAt = Number.POSITIVE_INFINITY;
    await run(book, config, "killed", true);
    // what was under way at a kill may be asked for in a later session than the next
    assert.ok(book.repeated <= killed * concurrency, `${book.repeated} requests were repeated`);
    test.diagnostic(`${total} requests, ${killed} kills, ${book.repeated} requests repeated`);
    for (const file of ["records.jsonl", "data.jsonl"]) {
      const [calm, after] = ["calm", "killed"].map((name) => fs.readFileSync(path.join(folder, name, file)));
      assert.ok(calm!.length > 0 && calm!.equals(after!), `${file} differs`);
    }
    const spent = ["calm", "killed"].map(
      (name) => JSON.parse(fs.readFileSync(path.join(folder, name, "summary.json"), "utf8")).spent,
    );
    assert.deepEqual(spent[1], spent[0], "what was paid for is counted once");
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
