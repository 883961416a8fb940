import { z } from "zod";
import { writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { daysText } from "../../report/figures.ts";
import { planPage } from "../../report/plan-page.ts";
import { type Plan, plan } from "../../scaling/plan.ts";
import { planOptionsSchema } from "../../scaling/plan-options.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, formatBytes, oneLine, shortNumber } from "../text.ts";

const schema = planOptionsSchema.extend({
  write: z
    .string()
    .min(1)
    .optional()
    .describe("write the plan with its plots as a page of its own")
    .meta({ valueName: "FILE.html" }),
});

const between = (interval: readonly [number, number] | null) =>
  interval ? ` (${shortNumber(interval[0])}–${shortNumber(interval[1])})` : "";
const flops = (value: number) => value.toExponential(2).replace("e+", "e");

function sensitivityRows({ sensitivity }: Plan): string[][] {
  if (!sensitivity) return [];
  const line = (name: string, point: NonNullable<Plan["sensitivity"]>["best"]) =>
    `${name} ${shortNumber(point.activatedParameters)}: +${point.lossAboveBest.toFixed(5)} nats${point.computeForBestLoss === null ? "" : `, ${(100 * (point.computeForBestLoss - 1)).toFixed(2)}% more compute for the best loss`}`;
  const { chosen, planned, curve } = sensitivity;
  const [half, double] = [0.5, 2].map((factor) => {
    const wanted = factor * sensitivity.best.activatedParameters;
    return curve.reduce((best, point) =>
      Math.abs(point.activatedParameters - wanted) < Math.abs(best.activatedParameters - wanted) ? point : best,
    );
  });
  return [
    ["sensitivity", line("planned", planned)],
    ...(chosen ? [["", line("its authors chose", chosen)]] : []),
    ...(half && double
      ? [
          ["", line("half as large,", half)],
          ["", line("twice as large,", double)],
        ]
      : []),
  ];
}

function criticalLine({ tokens, source, computeOverLeast }: NonNullable<Plan["recipe"]["criticalBatch"]>): string {
  return `${shortNumber(tokens)} tokens (${oneLine(source)}): the batch takes ${computeOverLeast.toFixed(2)} times the compute of a very small one`;
}

function describe(result: Plan): string[] {
  const { law, optimal, planned, chosen, model, recipe, hardware, serving, comparison, warnings } = result;
  const { layout } = hardware;
  const { config } = model;
  const cache = serving.rows.find((row) => row.mechanism === "GQA+CLA" && row.cacheType === "bf16")!;
  return [
    ...alignColumns([
      ["law", oneLine(`${law.name} (${law.source})`)],
      [
        "optimum",
        `${shortNumber(optimal.activatedParameters)} activated parameters${between(optimal.activatedParametersInterval)}, ${shortNumber(optimal.tokens)} tokens${between(optimal.tokensInterval)} at ${flops(optimal.compute)} FLOPs${optimal.leastCompute === optimal.compute ? "" : `, C_min ${flops(optimal.leastCompute)}`}`,
      ],
      ...(planned.isOptimal
        ? []
        : [["planned", `${shortNumber(planned.activatedParameters)} on ${shortNumber(planned.tokens)} tokens`]]),
      ...(chosen
        ? [
            [
              "its authors",
              `chose ${shortNumber(chosen.activatedParameters)} on ${shortNumber(chosen.tokens)} tokens: ${flops(chosen.compute)} FLOPs`,
            ],
          ]
        : []),
      ...(planned.loss === null ? [] : [["loss", `${planned.loss.toFixed(3)} nats by the law`]]),
      ...sensitivityRows(result),
      [
        "model",
        `${shortNumber(model.totalParameters)} parameters, ${shortNumber(model.activatedParameters)} activated: ${config.numHiddenLayers} layers of ${config.hiddenSize}, experts of ${config.intermediateSize}, ${config.numAttentionHeads} heads (${config.numKeyValueHeads} KV)`,
      ],
      [
        "recipe",
        `learning rate ${recipe.learningRate.toExponential(1)}, experts at ${recipe.expertLearningRateRatio.toFixed(2)} of it; ${shortNumber(recipe.batchTokens)} tokens a batch, ${shortNumber(recipe.steps)} steps`,
      ],
      ...(recipe.criticalBatch ? [["critical batch", criticalLine(recipe.criticalBatch)]] : []),
      [
        "training",
        `${daysText(hardware.days)} on ${hardware.devices} ${hardware.title} at ${(100 * hardware.utilization).toFixed(0)}% of peak${hardware.cost === null ? "" : `, ${shortNumber(hardware.cost)} at that price`}`,
      ],
      [
        "layout",
        `tensor ${layout.tensorParallel} × pipeline ${layout.pipelineParallel} × data ${layout.dataParallel} (experts over ${layout.expertParallel}), recomputation ${layout.recomputation}: ${formatBytes(layout.bytesPerDevice.total)} of ${formatBytes(layout.usableBytes)} a device`,
      ],
      [
        "serving",
        `${serving.devices} ${serving.devices === 1 ? "device" : "devices"} for ${serving.weightType} weights; cache ${cache.cacheBytesPerToken} bytes a token, ${(100 * cache.shareOfMultiHead).toFixed(1)}% of multi-head attention's; ${shortNumber(cache.tokensPerReplica)} tokens beside them`,
      ],
      ...comparison.map((one, index) => [
        index === 0 ? "other laws" : "",
        `${one.law}: ${shortNumber(one.activatedParameters)} on ${shortNumber(one.tokens)} tokens`,
      ]),
    ]),
    ...warnings.map((warning) => `note: ${warning}`),
    ...law.notes.map((note) => `law: ${oneLine(note)}`),
  ];
}

export const command = defineCommand({
  schema,
  examples: [
    { line: "rookery plan --compute 3.11e24 --law hunyuan-large", purpose: "the report's own question" },
    {
      line: "rookery plan --activated-parameters 52e9 --tokens 7e12 --write plan.html",
      purpose: "what it chose, as a page",
    },
    {
      line: "rookery plan --money 50000 --price-per-hour 2 --family mini --law fit.json",
      purpose: "what a sum buys, by the law of a sweep",
    },
  ],
  run: ({ write, ...options }) => {
    const result = plan(options);
    if (write !== undefined) writeFileAtomic(write, planPage(result, rookeryVersion));
    return result;
  },
  describe,
});
