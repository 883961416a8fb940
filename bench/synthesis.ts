/**
 * What a run of synthesis holds in memory, and how many records a second pass through its four steps, against a model that answers
 * at once, 64 requests at once. A tenth of what is answered is doubtful, a tenth rejected.
 * Run: node bench/synthesis.ts [records] [--http] [--long]   (the last line is JSON)
 * --http: the model is a server in a process of its own; --long: answers of a hundred words, which are compared, too.
 */
import { fork } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { synthOptionsSchema } from "../src/synth/options.ts";
import { synthesize } from "../src/synth/synthesize.ts";
import {
  completionOf,
  roleOf,
  type ScriptedBody,
  scriptedAnswer,
  scriptedFetch,
  serveScripted,
} from "../test/scripted-endpoint.ts";

const { values, positionals } = parseArgs({
  options: { http: { type: "boolean", default: false }, long: { type: "boolean", default: false } },
  allowPositionals: true,
});

function answer(body: ScriptedBody): string {
  const text = scriptedAnswer(body);
  const role = roleOf(body);
  if (role === "critique" && (body.seed ?? 0) % 10 === 0) return text.replace('"tier":4', '"tier":2');
  if (role !== "answer" || !values.long) return text;
  const others = Array.from({ length: 8 }, (_, part) =>
    scriptedAnswer({ ...body, messages: [{ role: "user", content: `${part} ${body.messages.at(-1)!.content}` }] }),
  );
  return [...others.map((one) => one.split("\n")[0]), text].join("\n");
}

const isServer = process.send !== undefined;
if (isServer) {
  const { url } = await serveScripted(
    () => {},
    () => {},
    answer,
  );
  process.send!(url);
  process.on("disconnect", () => process.exit());
} else await measure(Number(positionals[0] ?? 10_000));

async function measure(wanted: number): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const mebibytes = (bytes: number) => Math.round((10 * bytes) / 2 ** 20) / 10;
  const live = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return mebibytes(heapUsed + external);
  };
  const peak = () => mebibytes(process.resourceUsage().maxRSS * 1024);

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-synthesis-"));
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));
  const passages = Array.from(
    { length: Math.ceil(wanted / 10) },
    (_, one) => `The harbor of pier ${one} has ${one * 7} boats, which leave at dawn.`,
  );
  fs.writeFileSync(path.join(folder, "harbors.txt"), passages.join("\n\n"));
  const server = values.http ? fork(import.meta.filename, process.argv.slice(2)) : undefined;
  const url = server ? await new Promise<string>((resolve) => server.once("message", resolve)) : "http://table";
  const options = synthOptionsSchema.parse({
    // half of the instructions evolve, so that the records are half as many again
    ...{ records: Math.round(wanted / 1.5), name: "run", runsFolder: folder },
    seeds: [{ path: path.join(folder, "harbors.txt"), domain: "sea", language: "en" }],
    endpoints: { table: { url, concurrency: 64, model: "table" } },
    roles: { generator: "table", critic: "table" },
    generate: { passageCharacters: 100, forms: ["explain"] },
  });
  const atStart = { live: live(), peak: peak() };
  let stepsEnd = { live: 0, peak: 0, seconds: 0 };
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 100) / 10;
  const result = await synthesize(options, {
    ...(server ? {} : { fetch: scriptedFetch((body) => Response.json(completionOf(answer(body)))) }),
    onEvent(event) {
      if (event.type === "note" && event.message.startsWith("filtering"))
        stepsEnd = { live: live(), peak: peak(), seconds: seconds() };
    },
  });
  const { records, kept, review, rejected } = result;
  const atEnd = { live: live(), peak: peak(), seconds: seconds() };
  const counts = { records, kept, review, rejected, recordsPerSecond: Math.round(records / atEnd.seconds) };
  console.log(JSON.stringify({ ...counts, memoryMebibytes: { atStart, stepsEnd, atEnd } }));
  server?.disconnect();
}
