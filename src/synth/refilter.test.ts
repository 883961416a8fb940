import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { completionOf, roleOf, type ScriptedBody, scriptedFetch } from "../../test/scripted-endpoint.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { ReviewQueue } from "../review/queue.ts";
import { type SynthOptionsInput, synthOptionsSchema } from "./options.ts";
import type { SynthRecord } from "./record.ts";
import { refilter, refilterOptionsSchema } from "./refilter.ts";
import { readRecords } from "./run-files.ts";
import { synthesize } from "./synthesize.ts";

let folder = "";
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-refilter-"));
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Two answers to each sum, of which one or the other has more samples; tiers from 1 to 4; one critique in ten is no JSON. */
function fetchOf(asked: string[]) {
  return scriptedFetch((body: ScriptedBody) => {
    const role = roleOf(body);
    asked.push(role);
    const dice = (what: string) => uniform(streamKeys(1, what, JSON.stringify(body.messages), body.seed ?? 0), 0);
    if (role === "answer") return Response.json(completionOf(`${dice("answer") < 0.6 ? 7 : 8}`));
    if (dice("json") < 0.1) return Response.json(completionOf("I would rather not."));
    const tier = 1 + Math.floor(4 * dice("tier"));
    const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier };
    return Response.json(completionOf(JSON.stringify({ comment: "read", ...scores, tier })));
  });
}

let runs = 0;
const loose = { minAgreement: 0.5, keepTier: 3 };
const strict = { minAgreement: 0.7, keepTier: 4 };
function optionsOf(filters: SynthOptionsInput["filters"]) {
  return synthOptionsSchema.parse({
    ...{ name: `run-${++runs}`, runsFolder: folder, records: 0, filters },
    tasks: { records: 80, families: ["arithmetic", "word-problems"], answeredBy: "models" },
    endpoints: { table: { url: "http://table", concurrency: 8, model: "table" } },
    roles: { answerers: [{ endpoint: "table" }], critic: "table" },
  });
}
const otherFilters = (run: string, filters: object) =>
  refilter(refilterOptionsSchema.parse({ run, runsFolder: folder, ...filters }));
const text = (file: string) => fs.readFileSync(file, "utf8");
const fateOf = ({ id, kept, rejected, review }: SynthRecord) => ({ id, kept, rejected, review });
const fates = async (file: string) => (await Array.fromAsync(readRecords(file))).map(fateOf);

describe("other filters for a run", () => {
  it("give what the run would have had with them, ask nobody, and can be taken back", async () => {
    const options = optionsOf(loose);
    const first = await synthesize(options, { fetch: fetchOf([]) });
    const firstData = text(first.dataFile);
    const second = await otherFilters(options.name!, strict);
    assert.ok(second.kept > 0 && second.kept < first.kept, `${second.kept} of ${first.kept}`);
    assert.deepEqual([second.failedSteps, second.isComplete], [0, true]);
    assert.deepEqual(second.spent, first.spent);
    const fresh = await synthesize(optionsOf(strict), { fetch: fetchOf([]) });
    assert.deepEqual(await fates(second.recordsFile), await fates(fresh.recordsFile));
    assert.equal(text(second.dataFile), text(fresh.dataFile));
    const third = await otherFilters(options.name!, loose);
    assert.equal(text(third.dataFile), firstData);
    assert.ok(second.reasons["filter: inconsistent"]! > 0 && first.review > 0, JSON.stringify(second));
    assert.deepEqual([third.records, third.reasons], [first.records, first.reasons]);
  });

  it("leave to a resumed run what the critic was never asked, which pays for nothing else", async () => {
    const options = optionsOf(strict);
    const first = await synthesize(options, { fetch: fetchOf([]) });
    const looser = await otherFilters(options.name!, loose);
    assert.ok(looser.failedSteps > 0);
    const records = await Array.fromAsync(readRecords(looser.recordsFile));
    const unasked = records.filter(
      ({ rejected }) => rejected?.detail === "the critic has not been asked about this answer",
    );
    assert.equal(unasked.length, looser.failedSteps);
    const asked: string[] = [];
    const resumed = await synthesize(
      synthOptionsSchema.parse({ name: options.name, runsFolder: folder, resume: true }),
      {
        fetch: fetchOf(asked),
      },
    );
    const fresh = await synthesize(optionsOf(loose), { fetch: fetchOf([]) });
    assert.equal(text(resumed.recordsFile), text(fresh.recordsFile));
    assert.ok(asked.length >= looser.failedSteps && asked.length <= 2 * looser.failedSteps, `${asked.length} requests`);
    assert.ok(asked.every((role) => role === "critique") && resumed.kept > first.kept);
  });

  it("keep what people have decided, while nobody is asked about anything, too", async () => {
    const options = optionsOf(loose);
    const first = await synthesize(options, { fetch: fetchOf([]) });
    {
      using queue = ReviewQueue.open(first.reviewFile!);
      for (const { key } of queue.items.slice(0, 2)) queue.decide({ key, action: "accept" }, new Date(0));
    }
    const decided = await otherFilters(options.name!, loose);
    assert.deepEqual([decided.kept, decided.review], [first.kept + 2, first.review - 2]);
    // no tier is doubtful, and every critique that could not be read is of an answer that too few samples share
    const certain = await otherFilters(options.name!, { minAgreement: 0.99, rejectTier: 2, keepTier: 3 });
    assert.equal(certain.review, 0);
    const back = await otherFilters(options.name!, loose);
    assert.equal(text(back.recordsFile), text(decided.recordsFile));
  });

  it("come with a configuration that is given again, too, and stay", async () => {
    const options = optionsOf(loose);
    const first = await synthesize(options, { fetch: fetchOf([]) });
    const changed = { ...options, filters: { ...options.filters, ...strict }, resume: true, config: "given again" };
    const asked: string[] = [];
    const second = await synthesize(changed, { fetch: fetchOf(asked) });
    assert.ok(second.kept < first.kept);
    const resumed = synthOptionsSchema.parse({ name: options.name, runsFolder: folder, resume: true });
    const third = await synthesize(resumed, { fetch: fetchOf(asked) });
    assert.deepEqual([third.kept, third.reasons, asked.length], [second.kept, second.reasons, 0]);
    const wider = await otherFilters(options.name!, { ...strict, nearDuplicateSimilarity: 1 });
    assert.ok(wider.kept >= third.kept);
  });

  it("are refused for a run that is not there, or has made nothing", async () => {
    await assert.rejects(otherFilters("none", {}), { code: "MODEL_NOT_FOUND", message: /there is no run "none"/ });
    const options = optionsOf(loose);
    const nobody = scriptedFetch(() => new Response("", { status: 401 }));
    await assert.rejects(synthesize(options, { fetch: nobody }), { code: "ENDPOINT_FAILED" });
    assert.equal((await otherFilters(options.name!, strict)).records, 0);
  });
});
