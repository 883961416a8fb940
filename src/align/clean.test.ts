import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { type CleanContext, type CleanResult, clean, cleanOptionsSchema } from "./clean.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-clean-"));
after(() => fs.rmSync(folder, { recursive: true }));

const chat = (question: string, answer: string) => ({
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
  id: question,
});
const lines = (file: string): { id?: string; review?: unknown; rejected?: { reason: string } }[] =>
  fs
    .readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

let runs = 0;
/** A critic whose tier is the number in the answer; 0 writes no JSON, 9 is a request that is too long for it. */
function critic() {
  const asked: string[] = [];
  const fetch = (async (url: string, init: RequestInit) => {
    if (url.endsWith("/models")) return Response.json({ data: [{ id: "critic" }] });
    const { messages } = JSON.parse(String(init.body)) as { messages: { content: string }[] };
    const { answer } = JSON.parse(messages[1]!.content) as { answer: string };
    asked.push(answer);
    const tier = Number(/\d/.exec(answer)?.[0]);
    if (tier === 9) return Response.json({ error: { message: "too long" } }, { status: 400 });
    const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier, tier };
    const content = tier === 0 ? "It is nice." : JSON.stringify({ comment: `so ${answer}`, ...scores });
    return Response.json({ choices: [{ message: { content }, finish_reason: "stop" }] });
  }) as typeof globalThis.fetch;
  return { fetch, asked };
}

async function cleaned(
  records: unknown[],
  more: Partial<Parameters<typeof cleanOptionsSchema.parse>[0] & object>,
  context: CleanContext = {},
): Promise<CleanResult & { file: (name: string) => string }> {
  const run = ++runs;
  const file = (name: string): string => path.join(folder, `${run}-${name}.jsonl`);
  fs.writeFileSync(file("in"), records.map((record) => JSON.stringify(record)).join("\n"));
  const files = { data: [file("in")], out: file("out"), rejected: file("rejected"), review: file("review") };
  return { ...(await clean(cleanOptionsSchema.parse({ ...files, ...more }), context)), file };
}

test("by rules alone: what is sure is left out, what is doubtful waits, records stay as they were", async () => {
  const result = await cleaned(
    [
      chat("good", "Yes."),
      chat("broken", "Yes<|eos|>"),
      chat("refused", "I'm sorry, but I can't help with that."),
      { prompt: "pair", chosen: "b", rejected: "Yes<|eos|>", id: "pair" },
      "no record",
    ],
    {},
  );
  assert.deepEqual([result.read, result.kept], [5, 2]);
  assert.deepEqual(result.rejected, { leftover: 1, malformed: 1 });
  assert.deepEqual(result.review, { refusal: 1 });
  assert.deepEqual(
    lines(result.file("out")).map(({ id }) => id),
    ["good", "pair"],
  );
  assert.deepEqual(lines(result.file("review"))[0]?.review, {
    reason: "refusal",
    detail: "\"I'm sorry, but I can't\"",
  });
  assert.deepEqual(
    lines(result.file("rejected")).map(({ rejected }) => rejected?.reason),
    ["leftover", "malformed"],
  );
  await assert.rejects(
    clean(cleanOptionsSchema.parse({ data: [result.file("in")], out: result.file("out") })),
    (error) => error instanceof RookeryError && error.code === "FILE_UNWRITABLE",
  );
});

test("a critic's tiers sort the rest; its answers are kept, and asked for once", async () => {
  const records = [0, 1, 2, 3, 4, 9].map((tier) => chat(`question ${tier}`, `answer ${tier}`));
  const { fetch, asked } = critic();
  const first = await cleaned(records, { critique: "http://critic", concurrency: 3 }, { fetch });
  assert.equal(first.kept, 2);
  assert.deepEqual(first.rejected, { tier1: 1 });
  assert.deepEqual(first.review, { noVerdict: 2, tier2: 1 });
  assert.deepEqual(first.tiers, { 1: 1, 2: 1, 3: 1, 4: 1 });
  const before = asked.length;
  const options = { data: [first.file("in")], out: first.file("out"), overwrite: true, critique: "http://critic" };
  const again = await clean(cleanOptionsSchema.parse({ ...options, keepTier: 2 }), { fetch });
  assert.equal(again.kept, 3);
  assert.deepEqual(again.rejected, { tier1: 1, noVerdict: 2 });
  // what was refused is asked for again: the server may have been changed
  assert.deepEqual(asked.slice(before), ["answer 9"]);
});

test("stopped and begun again, it asks for what was not answered, and writes nothing before its end", async () => {
  const records = Array.from({ length: 20 }, (_, n) => chat(`question ${n}`, `answer 4 ${n}`));
  const { fetch, asked } = critic();
  const stop = new AbortController();
  const more = { critique: "http://critic", concurrency: 2 };
  const context: CleanContext = {
    fetch,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.type === "progress" && event.done === 7) stop.abort(new Error("stopped"));
    },
  };
  await assert.rejects(cleaned(records, more, context), /stopped/);
  assert.ok(!fs.existsSync(path.join(folder, `${runs}-out.jsonl`)));
  runs--;
  const result = await cleaned(records, more, { fetch });
  assert.equal(result.kept, 20);
  assert.ok(asked.length <= 22, `${asked.length} requests`);
  assert.ok(result.requests.fromCache >= 7);
});

test("a server that is gone ends it with one line", async () => {
  const fetch = (async () =>
    Response.json({ error: { message: "bad key" } }, { status: 401 })) as typeof globalThis.fetch;
  await assert.rejects(
    cleaned([chat("a", "b")], { critique: "http://critic", critiqueModel: "m" }, { fetch }),
    (error) => error instanceof RookeryError && error.code === "ENDPOINT_FAILED" && /401/.test(error.message),
  );
});
