/** A model that a stage has made, as a Hugging Face directory with its card. */
import { rookeryVersion } from "../base/version.ts";
import { account } from "../model/accounting.ts";
import { saveModel } from "../train/save-model.ts";
import type { StageOptions } from "./options.ts";
import type { Stage, StageName, StageParts } from "./stage.ts";

const purposes: Record<StageName, string> = {
  sft: "Fine-tuned on conversations (SFT)",
  dpo: "Aligned to preferences (DPO)",
  reward: "Trained to score answers (a Bradley-Terry reward model)",
};

export type SavedFacts = Parameters<Stage["saveModel"]>[1];

/** Writes `folder` in the place of an older one. @throws RookeryError FILE_UNWRITABLE. */
export function saveChatModel(
  folder: string,
  stage: StageName,
  options: StageOptions,
  { execution, base: { model, tokenizer } }: StageParts,
  facts: SavedFacts,
): void {
  const card = stageCard(stage, options, facts, account(model.config).parameters);
  saveModel(folder, { execution, model, tokenizer, tokenizerFolder: facts.tokenizerFolder, modelCard: card });
}

/** The README.md of a stage's model. */
export function stageCard(
  stage: StageName,
  options: StageOptions,
  { name, steps, figures }: SavedFacts,
  parameters: { total: number; activated: number },
): string {
  const rows = Object.entries(figures).map(
    ([key, value]) => `| ${key} | ${value === null ? "-" : value.toPrecision(5)} |`,
  );
  const measured =
    rows.length > 0 ? ["| on held-out records | |", "| --- | --- |", ...rows].join("\n") : "Nothing was held out.";
  return `---
library_name: rookery
tags: [mixture-of-experts, hunyuan]
---

# ${name}

${purposes[stage]} by Rookery ${rookeryVersion}: ${parameters.total} parameters, ${parameters.activated} activated by a token.

${steps} updates, peak learning rate ${options.learningRate}, seed ${options.seed}, routing \`${options.routing}\`.

${measured}

It is a small model trained for a short time: it knows nothing reliably.

## Made by

\`\`\`
rookery ${stage} --config config.json
\`\`\`

with the \`config.json\` of the run, in the folder above this one.
`;
}
