/** The pages of plans, fits and runs in Chromium: offline, in light, in dark and on paper. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { datasetPage } from "../../src/report/dataset-page.ts";
import { fitPage } from "../../src/report/fit-page.ts";
import { planPage } from "../../src/report/plan-page.ts";
import { runPage } from "../../src/report/run-page.ts";
import { fitScalingLaw } from "../../src/scaling/fit.ts";
import { laws } from "../../src/scaling/laws.ts";
import { plan } from "../../src/scaling/plan.ts";
import { planOptionsSchema } from "../../src/scaling/plan-options.ts";
import { predict } from "../../src/scaling/predict.ts";
import { syntheticPoints } from "../../src/scaling/synthetic.ts";
import { noCost, type SynthRecord } from "../../src/synth/record.ts";
import { reportSynthesis } from "../../src/synth/report.ts";
import { launchBrowser, openPage } from "./browser.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-reports-"));
let browser: Browser;
before(async () => {
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const points = syntheticPoints({
  ...{ loss: laws["chinchilla-replication"].loss, compute: { perParameterToken: 6, perToken: 0 } },
  ...{ budgets: [1e17, 5e17, 2e18, 1e19], sizesPerBudget: 6, sizeRange: 8, seeds: 2, noise: 0.004, seed: 3 },
});
const rows = [1, 2, 3].map((step) => ({
  ...{ step, tokens: 100 * step, loads: [[1.5, 0.5]] },
  values: {
    ...{ loss: 5 - step, gradientNorm: 1, learningRate: 1e-3, expertLearningRate: 3e-4 },
    ...{ tokensPerSecond: 9, balanceLoss: 1, recycledShare: 0, droppedShare: 0 },
  },
}));

const answer = {
  ...{ text: "<b>4</b> 企鹅", finishReason: "stop", endpoint: "e", model: "m" },
  ...{ promptVersion: "p", requestHash: "h", cost: noCost },
};
async function* records(): AsyncGenerator<SynthRecord> {
  for (let number = 0; number < 20; number++) {
    yield {
      ...{ id: String(number), parentId: null, seed: "s", step: "filter", domain: "sums", language: "zh" },
      ...{
        instruction: `Why </script> ${number}?`,
        answerKind: "number",
        variant: "v",
        difficulty: "easy",
        truth: "4",
      },
      ...{ answers: [answer, answer, answer], model: "m", promptVersion: "p", requestHash: "h", cost: noCost },
      ...(number % 3 === 0 ? { rejected: { step: "filter", reason: "inconsistent", detail: "<i>" } } : { kept: 0 }),
    } as SynthRecord;
  }
}
const synthesis = await reportSynthesis(records(), {
  ...{ name: "set", seed: 1, spent: noCost },
  instructions: {
    ...{ wanted: 40, withoutSeed: 0, waiting: 0, unanswered: 6, leftOut: 3, rejected: 1, usable: 30 },
  },
  targets: { domains: { sums: 1 }, languages: { zh: 1 } },
});

const pages: Record<string, () => string> = {
  dataset: () => datasetPage(synthesis, "1.2.3"),
  plan: () => planPage(plan(planOptionsSchema.parse({ compute: 3.11e24 }), laws["hunyuan-large"]), "1.2.3"),
  fit: () => {
    const fit = fitScalingLaw(points, { name: "s", source: "s", resamples: 60, seed: 1 });
    return fitPage({ ...fit, predictions: [predict(fit, 1e20)] }, "1.2.3");
  },
  run: () =>
    runPage(
      {
        ...{
          name: "r",
          command: "train",
          isFinished: true,
          trainedBy: "1.2.3",
          options: { steps: 3 },
          steps: 3,
          tokens: 300,
          seconds: 9,
          cost: null,
        },
        ...{
          peakMemoryBytes: 1e9,
          skippedSteps: 0,
          stepsPerRow: 1,
          rows,
          evaluations: [],
          measurements: [],
          totalSteps: 3,
          stages: [],
          sources: [],
        },
        samples: [{ prompt: "a", text: "b" }],
      },
      "1.2.3",
    ),
};

/** Brightness of the page's ground and of the words in its plots, 0 to 1. */
async function brightness(page: Page): Promise<{ ground: number; words: number }> {
  const colors = (await page.evaluate(`(() => {
    const numbers = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    return [
      numbers(getComputedStyle(document.body).backgroundColor),
      numbers(getComputedStyle(document.querySelector("svg text")).fill),
    ];
  })()`)) as number[][];
  const [ground = 0, words = 0] = colors.map((color) => color.reduce((sum, part) => sum + part, 0) / 765);
  return { ground, words };
}

for (const [name, make] of Object.entries(pages)) {
  test(`the page of a ${name} opens without a network, readable in light, in dark and on paper`, async () => {
    const file = join(folder, `${name}.html`);
    writeFileSync(file, make());
    const address = pathToFileURL(file).href;
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, context, foreign, faults } = await openPage(browser, address, { colorScheme, offline: true });
      const { ground, words } = await brightness(page);
      assert.ok(
        colorScheme === "light" ? ground - words > 0.6 : words - ground > 0.6,
        `${colorScheme}: ${words} on ${ground}`,
      );
      assert.ok((await page.locator("svg").count()) >= 3);
      const overflow = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      assert.equal(overflow, 0);
      await page.emulateMedia({ media: "print", colorScheme });
      const printed = await brightness(page);
      assert.ok(printed.ground - printed.words > 0.6, `${colorScheme}, printed: ${printed.words} on ${printed.ground}`);
      const data = (await page.evaluate(`JSON.parse(document.getElementById("data").textContent)`)) as {
        format: string;
      };
      assert.match(data.format, /^rookery-[a-z-]+\/1$/);
      assert.deepEqual([foreign.filter((url) => url !== address), faults], [[], []]);
      await context.close();
    }
  });
}
