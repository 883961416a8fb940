import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { scoreHeldOut } from "./held-out-score.ts";
import { trainOptionsSchema } from "./options.ts";
import { runTraining } from "./run.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "rookery-held-out-score-"));
after(() => fs.rmSync(folder, { recursive: true }));

test("a run's own model has the figure that the run has measured, and a part of the text has another", async () => {
  const runsFolder = path.join(folder, "runs");
  const text = path.join(folder, "texts.jsonl");
  const line = (n: number) =>
    `${JSON.stringify({ text: `Rookery ${n} has ${n * 7} chicks on rock ${n % 13}. `.repeat(8) })}\n`;
  fs.writeFileSync(text, Array.from({ length: 60 }, (_, n) => line(n)).join(""));
  const options = trainOptionsSchema.parse({
    ...{ runsFolder, data: [text], name: "base", steps: 2, batchTokens: 128, sequenceLength: 64, threads: 1 },
    ...{ heldOutShare: 0.2, filters: { maxRepeatedShare: 1 } },
    ...{ preset: "pico", model: { numHiddenLayers: 2 } },
  });
  const { modelFolder: model, bitsPerByte } = await runTraining(options, {});
  assert.ok(bitsPerByte !== null);
  const scoring = { run: "base", runsFolder, model, threads: 2 };
  // the saved matrices are in bf16, as the products were
  const whole = await scoreHeldOut({ ...scoring, maxTokens: 1 << 18 }, {});
  assert.ok(Math.abs(whole!.bitsPerByte - bitsPerByte) < 1e-3 * bitsPerByte, `${whole!.bitsPerByte} ${bitsPerByte}`);
  const part = await scoreHeldOut({ ...scoring, maxTokens: 64 }, {});
  assert.ok(part!.bytes < whole!.bytes);
});
