/** The README.md of a trained model: what it is, what it was trained on, how good it is, and the command that made it. */
import { rookeryVersion } from "../base/version.ts";
import type { Dataset } from "../data/dataset.ts";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import { compactCount } from "./compact-count.ts";
import type { Evaluation } from "./evaluate.ts";
import type { TrainOptions } from "./options.ts";
import { pretrainingName, type Segment } from "./segments.ts";

export type ModelCardFacts = {
  name: string;
  config: ModelConfig;
  options: TrainOptions;
  segments: readonly Segment[];
  dataset: Dataset;
  steps: number;
  tokens: number;
  evaluation: Evaluation | undefined;
};

/**
 * Text that cannot end a table's cell, start markup, become a link by itself, or turn the writing direction; names of
 * sources and licences come from other people's files.
 */
const plain = (text: string) =>
  text
    .replace(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\\`*_{}[\]<>|#~$&!]/gu, " ")
    .replace(/:(?=\/\/)|(?<=\bwww)\.|@/gi, " ");

const ropeText = ({ ropeTheta, ropeScaling }: ModelConfig) =>
  `base ${ropeTheta}${ropeScaling && ropeScaling.alpha !== 1 ? ` with NTK alpha ${ropeScaling.alpha}` : ""}`;

/** What each part of the run has trained on. */
function stretchesText(segments: readonly Segment[]): string {
  const texts = segments.map(({ name, schedule, batchTokens, sequenceLength, long, config }) => {
    const share = long ? `, ${Math.round(100 * long.share)}% of it documents of ${long.tokens} tokens or more` : "";
    const rope = name === pretrainingName ? "" : `, RoPE ${ropeText(config)}`;
    return `${plain(name)}: ${schedule.totalSteps} updates of ${batchTokens} tokens in rows of ${sequenceLength}${share}${rope}, peak learning rate ${schedule.peakLearningRate}`;
  });
  return texts.join("; ");
}

/** Markdown with the front matter that Hugging Face reads. */
export function modelCard({
  name,
  config,
  options,
  segments,
  dataset,
  steps,
  tokens,
  evaluation,
}: ModelCardFacts): string {
  const { parameters, kvCache } = account(config);
  const sources = dataset.manifest.sources.map(({ name: source, license, shards }) => {
    return `| ${plain(source)} | ${plain(license ?? "not stated")} | ${shards.train.tokens} | ${shards.train.documents} |`;
  });
  const measured = evaluation
    ? `${evaluation.bitsPerByte.toFixed(4)} bits per byte on ${evaluation.bytes} bytes of held-out text (${evaluation.targets} tokens, none of them trained on).`
    : "Nothing was held out, so nothing was measured.";
  const isPlain = segments.length === 1 && segments[0]!.name === pretrainingName;
  return `---
library_name: rookery
tags: [mixture-of-experts, hunyuan]
---

# ${plain(name)}

A mixture-of-experts language model of the Hunyuan-Large architecture, trained by Rookery ${rookeryVersion}.

| | |
| --- | --- |
| parameters | ${compactCount(parameters.total)}, of which ${compactCount(parameters.activated)} are activated by a token |
| layers, hidden size | ${config.numHiddenLayers}, ${config.hiddenSize} |
| experts | ${config.numExperts === 0 ? "none: dense layers" : `${config.numExperts}, top-${config.topK}, and ${config.numSharedExperts} shared`} |
| attention | ${config.numAttentionHeads} query heads on ${config.numKeyValueHeads} KV heads, K and V shared by ${config.claShareFactor} layers |
| KV cache | ${kvCache.bytesPerToken} bytes a token, ${(100 * kvCache.shareOfMultiHead).toFixed(1)}% of multi-head attention's |
| vocabulary | ${config.vocabularySize} |
| positions, RoPE | ${config.maxPositionEmbeddings}, ${ropeText(config)} |

## Training

${tokens} tokens in ${steps} updates${isPlain ? ` of ${options.batchTokens}` : ""}, seed ${options.seed}.${options.from === undefined ? "" : ` It began with the weights of ${plain(options.from)}.`}${isPlain ? "" : ` ${stretchesText(segments)}.`}${isPlain ? ` Peak learning rate ${options.learningRate}, routing` : " Routing"} \`${options.routing}\` at capacity factor ${options.capacityFactor}.

| source | license | tokens | documents |
| --- | --- | --- | --- |
${sources.join("\n")}

## Quality

${measured} It is a small model trained for a short time: it writes text like its training data and knows nothing reliably.

## Made by

\`\`\`
rookery train --config config.json
\`\`\`

with the \`config.json\` of the run, in the folder above this one.
`;
}
