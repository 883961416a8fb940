/** A plan as a page that stands alone. Every number in its plots is in the plan, which lies in the page as JSON, too. */
import type { Plan } from "../scaling/plan.ts";
import type { AxisScale } from "./axis.ts";
import { barsSvg } from "./bars.ts";
import { bytesText, countText, daysText, flopsText, intervalText, percentText } from "./figures.ts";
import { computeLabel, isoFlopPlot, type Mark, powerLawPlot } from "./law-plots.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { plotSvg } from "./plot.ts";

export function planPage(plan: Plan, rookeryVersion: string): string {
  return htmlPage(
    `Plan: ${countText(plan.planned.activatedParameters)} activated parameters on ${countText(plan.planned.tokens)} tokens`,
    [
      paragraph(`Rookery ${rookeryVersion}, by the law ${plan.law.name} (${plan.law.source}).`),
      notes(plan.warnings),
      summary(plan),
      "<h2>The law</h2>",
      plots([...lawPlots(plan), isoFlops(plan)]),
      comparison(plan),
      notes(plan.law.notes),
      ...sensitivitySection(plan),
      "<h2>The model</h2>",
      modelSection(plan),
      "<h2>Training</h2>",
      trainingSection(plan),
      "<h2>Serving</h2>",
      servingSection(plan),
    ],
    { format: "rookery-plan/1", rookeryVersion, ...plan },
  );
}

/** Whether the law was asked at the compute itself. */
const isLeast = ({ compute, leastCompute }: Plan["optimal"]) => compute === leastCompute;

function summary({ optimal, planned, chosen, extrapolation, hardware }: Plan): string {
  return facts([
    [
      "best for this compute",
      `${countText(optimal.activatedParameters)} activated parameters on ${countText(optimal.tokens)} tokens at ${flopsText(optimal.compute)} FLOPs${isLeast(optimal) ? "" : `, C_min ${flopsText(optimal.leastCompute)} at this batch`}`,
    ],
    [
      "95% intervals",
      optimal.activatedParametersInterval
        ? `${intervalText(optimal.activatedParametersInterval)} parameters, ${intervalText(optimal.tokensInterval)} tokens`
        : "the law has none",
    ],
    [
      "planned",
      `${countText(planned.activatedParameters)} on ${countText(planned.tokens)} tokens, ${planned.tokensPerParameter.toFixed(0)} tokens a parameter`,
    ],
    ...(chosen
      ? [
          [
            "the law's authors chose",
            `${countText(chosen.activatedParameters)} on ${countText(chosen.tokens)} tokens: ${flopsText(chosen.compute)} FLOPs`,
          ] as const,
        ]
      : []),
    [
      "extrapolation",
      extrapolation.direction === "inside"
        ? "none: inside what was measured"
        : `${Number(extrapolation.factor.toPrecision(2))} times ${extrapolation.direction} what was measured`,
    ],
    [
      "time",
      `${daysText(hardware.days)} on ${hardware.devices} ${hardware.title}${hardware.cost === null ? "" : `, cost ${countText(hardware.cost)}`}`,
    ],
  ]);
}

function lawPlots({ law, curves, planned, chosen }: Plan): string[] {
  const marks = (what: "parameters" | "tokens"): Mark[] => [
    { name: "measured minima", points: curves.minima.map((one) => ({ x: one.compute, y: one[what] })) },
    {
      name: "planned",
      points: [{ x: planned.leastCompute, y: what === "parameters" ? planned.activatedParameters : planned.tokens }],
    },
    {
      name: chosen
        ? `chosen: ${countText(what === "parameters" ? chosen.activatedParameters : chosen.tokens)}`
        : "chosen",
      points: chosen
        ? [{ x: chosen.compute, y: what === "parameters" ? chosen.activatedParameters : chosen.tokens }]
        : [],
    },
  ];
  const plot = (title: string, yLabel: string, what: "parameters" | "tokens") =>
    powerLawPlot(title, yLabel, curves[what], marks(what), computeLabel(law));
  return [
    plot("Best size for the compute", "activated parameters", "parameters"),
    plot("Best number of tokens for the compute", "tokens", "tokens"),
  ];
}

function isoFlops({ curves }: Plan): string {
  return isoFlopPlot("Loss by size, a curve a budget", curves.isoFlop);
}

function comparison({ comparison: rows }: Plan): string {
  return table(
    ["law", "activated parameters", "tokens", "beyond its data"],
    rows.map(({ law, activatedParameters, tokens, extrapolation }) => [
      law,
      countText(activatedParameters),
      countText(tokens),
      extrapolation.direction === "inside"
        ? "no"
        : `${Number(extrapolation.factor.toPrecision(2))}× ${extrapolation.direction}`,
    ]),
  );
}

function sensitivitySection({ sensitivity, chosen }: Plan): string[] {
  if (!sensitivity) return [];
  const { best, planned, chosen: choice, curve, compute } = sensitivity;
  const mark = (name: string, point: typeof best, of: (point: typeof best) => number): Mark => {
    return { name, points: [{ x: point.activatedParameters, y: of(point) }] };
  };
  const marks = (of: (point: typeof best) => number) => [
    mark(`best: ${countText(best.activatedParameters)}`, best, of),
    mark(`planned: ${countText(planned.activatedParameters)}`, planned, of),
    ...(choice ? [mark(`chosen: ${countText(choice.activatedParameters)}`, choice, of)] : []),
  ];
  const plot = (title: string, yLabel: string, yScale: AxisScale, of: (point: typeof best) => number | null) => {
    const points = curve.flatMap((point) => {
      const y = of(point);
      return y === null ? [] : [{ x: point.activatedParameters, y }];
    });
    const dots = marks((point) => of(point) ?? Number.NaN).map((one) => ({ ...one, kind: "dots" as const }));
    return plotSvg({
      ...{ title, xLabel: "activated parameters", yLabel, yScale },
      series: [
        { name: `at ${flopsText(compute)} FLOPs`, kind: "curve", points },
        ...dots.filter(({ points: [point] }) => Number.isFinite(point?.y)),
      ],
    });
  };
  const rows = [best, planned, ...(choice ? [choice] : [])].map((point, index) => [
    ["best", "planned", "chosen"][index]!,
    countText(point.activatedParameters),
    countText(point.tokens),
    point.loss.toFixed(5),
    `+${point.lossAboveBest.toFixed(5)}`,
    point.computeForBestLoss === null ? "never" : `${point.computeForBestLoss.toFixed(4)}×`,
  ]);
  return [
    "<h2>Sensitivity</h2>",
    paragraph(
      choice && chosen
        ? `The curve is flat near its bottom: ${countText(choice.activatedParameters)} instead of ${countText(best.activatedParameters)} costs ${choice.lossAboveBest.toFixed(5)} nats at the same compute, and a smaller model is cheaper to serve.`
        : "The loss at the planned compute, for models smaller and larger than the best.",
    ),
    plots([
      plot("Loss above the best size's, at the same compute", "nats a token", "linear", (point) => point.lossAboveBest),
      plot("Compute to reach the best size's loss", "times the compute", "log", (point) => point.computeForBestLoss),
    ]),
    table(
      ["size", "activated parameters", "tokens at this compute", "loss", "above best", "compute for the best loss"],
      rows,
    ),
  ];
}

function modelSection({ model }: Plan): string {
  const { config, flopsPerToken, activationBytesPerToken } = model;
  const parts = Object.entries(flopsPerToken.parts);
  const rows = facts([
    ["family", model.family],
    ["parameters", `${countText(model.totalParameters)}, ${countText(model.activatedParameters)} of them activated`],
    ["layers", `${config.numHiddenLayers} of width ${config.hiddenSize}`],
    [
      "experts",
      `${config.numSharedExperts} shared and ${config.numExperts} specialised of width ${config.intermediateSize}, top-${config.topK}`,
    ],
    [
      "attention",
      `${config.numAttentionHeads} heads of ${config.headDim}, ${config.numKeyValueHeads} KV heads, K and V shared by ${config.claShareFactor} layers`,
    ],
    [
      "training FLOPs by counting",
      `${flopsText(model.countedCompute)}, ${model.countedOverLaw.toFixed(2)} times what the law's C(N, D) says`,
    ],
    [
      "activations kept a token",
      `${bytesText(activationBytesPerToken.kept)}, or ${bytesText(activationBytesPerToken.betweenGroups)} with recomputation`,
    ],
  ]);
  const bars = barsSvg({
    title: "Training FLOPs a token, by part",
    partNames: ["forward", "backward", "recomputed"],
    bars: parts.map(([name, { forward, backward, recomputed }]) => {
      const total = forward + backward + recomputed;
      return { name, parts: [forward, backward, recomputed], label: `${percentText(total / flopsPerToken.executed)}` };
    }),
  });
  return rows + plots([bars]);
}

function trainingSection({ recipe, hardware }: Plan): string {
  const { layout, cost } = hardware;
  const { weights, gradients, optimizer, activations, total } = layout.bytesPerDevice;
  const { schedule, criticalBatch } = recipe;
  const rows = facts([
    [
      "learning rate",
      `${recipe.learningRate.toExponential(2)}, specialised experts at ${recipe.expertLearningRateRatio.toFixed(3)} of it`,
    ],
    ["batch", `${recipe.batchTokens.toLocaleString("en-US")} tokens, ${countText(recipe.steps)} updates`],
    ...(criticalBatch
      ? [
          [
            "critical batch",
            `${countText(criticalBatch.tokens)} tokens (${criticalBatch.source}). For the same loss this batch takes ${criticalBatch.computeOverLeast.toFixed(2)} times the FLOPs of a very small one${criticalBatch.isMeasured ? "" : ", which the law leaves out"}`,
          ] as const,
        ]
      : []),
    [
      "schedule",
      `${countText(schedule.warmupTokens)} tokens of warm-up, ${countText(schedule.decayTokens)} of decay, ${countText(schedule.annealingTokens)} of annealing at ${schedule.finalShare} of the peak`,
    ],
    ["devices", `${hardware.devices} ${hardware.title} (${hardware.source})`],
    [
      "time",
      `${daysText(hardware.days)} at ${percentText(hardware.utilization, 0)} of peak; ${countText(hardware.deviceHours)} device hours`,
    ],
    ...(cost === null ? [] : [["cost", countText(cost)] as const]),
    [
      "layout",
      `tensor ${layout.tensorParallel} × pipeline ${layout.pipelineParallel} × data ${layout.dataParallel}, experts over ${layout.expertParallel} of the data ranks, recomputation ${layout.recomputation}${layout.isFeasible ? "" : "; does NOT fit"}`,
    ],
    ["fewest devices that fit", hardware.fewestDevices === null ? "none" : String(hardware.fewestDevices)],
  ]);
  const bars = barsSvg({
    title: "Memory of the fullest device",
    partNames: ["weights", "gradients", "optimizer", "activations"],
    bars: [
      { name: hardware.accelerator, parts: [weights, gradients, optimizer, activations], label: bytesText(total) },
    ],
    limit: { value: layout.usableBytes, name: `${bytesText(layout.usableBytes)} usable` },
  });
  return rows + plots([bars]) + notes(recipe.sources);
}

function servingSection({ serving }: Plan): string {
  const contexts = serving.rows[0]!.streams.map(({ contextTokens }) => contextTokens);
  const text = paragraph(
    `A replica takes ${serving.devices} ${serving.devices === 1 ? "device" : "devices"} for ${bytesText(serving.weightBytes)} of ${serving.weightType} weights. Streams at once a replica, by the length of their texts:`,
  );
  const bars = barsSvg({
    title: "Cache bytes a token",
    partNames: [],
    bars: serving.rows.map(({ mechanism, cacheType, cacheBytesPerToken, shareOfMultiHead }) => {
      return { name: `${mechanism} ${cacheType}`, parts: [cacheBytesPerToken], label: percentText(shareOfMultiHead) };
    }),
  });
  const rows = serving.rows.map((row) => [
    `${row.mechanism} ${row.cacheType}`,
    String(row.cacheBytesPerToken),
    percentText(row.shareOfMultiHead),
    countText(row.tokensPerReplica),
    ...row.streams.map(({ perReplica }) => String(perReplica)),
  ]);
  return (
    text +
    table(
      ["cache", "bytes a token", "of MHA", "tokens that fit", ...contexts.map((tokens) => `${tokens / 1024}K`)],
      rows,
    ) +
    plots([bars])
  );
}
