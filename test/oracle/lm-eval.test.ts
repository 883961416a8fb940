/** lm-eval's answers, item by item: log-probabilities within 1e-3, and every score exactly. The long tier asks all 200 questions. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, it } from "node:test";
import { type LocalModel, openLocalModel } from "../../src/eval/local-model.ts";
import { evalRunOptionsSchema } from "../../src/eval/options.ts";
import { readItems } from "../../src/eval/results.ts";
import { evaluate } from "../../src/eval/run.ts";
import { writeTinyModel } from "../tiny-model.ts";
import { oracleConfig } from "./lm-eval/model.ts";
import { questionsEach, writeSets } from "./lm-eval/sets.ts";

type OracleItem = {
  logprobs?: number[];
  acc?: number;
  acc_norm?: number;
  answer?: string;
  "strict-match"?: number;
  "flexible-extract"?: number;
};
type OracleTask = { shots: number; scores: Record<string, number>; items: OracleItem[] };
type Oracle = { script: string; tasks: Record<string, OracleTask> };

const here = path.join(import.meta.dirname, "lm-eval");
const oracle = JSON.parse(fs.readFileSync(path.join(here, "answers.json"), "utf8")) as Oracle;
const isLong = process.env.ROOKERY_LONG_TESTS === "1";
const limit = isLong ? questionsEach : 25;
const ourNames: Record<string, string> = { mmlu_high_school_biology: "mmlu" };

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-lm-eval-"));
let model: LocalModel;
before(async () => {
  writeSets(path.join(folder, "sets"));
  const tiny = await writeTinyModel(folder, oracleConfig);
  model = await openLocalModel(tiny, { computeType: "f32", threads: 1, cacheBytes: 1 << 27 }, {});
});
after(async () => {
  await model.close();
  fs.rmSync(folder, { recursive: true });
});

it("the answers are of this script", () => {
  const script = fs.readFileSync(path.join(here, "lm_eval_answers.py"));
  assert.equal(createHash("sha256").update(script).digest("hex"), oracle.script);
});

for (const [theirs, { shots, scores, items }] of Object.entries(oracle.tasks)) {
  const task = ourNames[theirs] ?? theirs;
  // writing takes longer than reading
  const asked = task === "gsm8k" && !isLong ? 6 : limit;
  it(`${task}: ${asked} questions`, async () => {
    const options = evalRunOptionsSchema.parse({
      ...{ model: "tiny", tasks: [task], shots, name: task, limit: asked },
      ...{ data: path.join(folder, "sets"), resultsFolder: path.join(folder, "evals") },
    });
    const environment = { runsFolder: folder, apiKey: undefined, judgeApiKey: undefined, opened: model };
    const summary = await evaluate(options, environment);
    const rows = await readItems(summary.folder);
    assert.equal(rows.length, asked);
    for (const [at, row] of rows.entries()) {
      const expected = items[at]!;
      const found = JSON.parse(row.scores) as Record<string, number>;
      if (expected.answer !== undefined) {
        assert.equal(row.answer, expected.answer, `${task} ${row.item}`);
        assert.equal(found["strict-match"], expected["strict-match"]);
        assert.equal(found["flexible-extract"], expected["flexible-extract"]);
        continue;
      }
      const logprobs = JSON.parse(row.logprobs) as number[];
      assert.equal(logprobs.length, expected.logprobs!.length);
      for (const [choice, logprob] of logprobs.entries()) {
        const difference = Math.abs(logprob - expected.logprobs![choice]!);
        assert.ok(difference < 1e-3, `${task} ${row.item}, choice ${choice}: ${difference}`);
      }
      assert.equal(found.acc, expected.acc, `${task} ${row.item}`);
      if (expected.acc_norm !== undefined) assert.equal(found.acc_norm, expected.acc_norm, `${task} ${row.item}`);
    }
    if (asked < questionsEach) return;
    for (const [name, value] of Object.entries(scores)) {
      const metric = name.replace(/^exact_match,|,none$/g, "");
      assert.equal(summary.tasks[0]!.metrics[metric]!.value, value, `${task} ${metric}`);
    }
  });
}
