/** Instructions from a seed: a passage gives several through the generator; a question is one as it stands. */
import { Draws } from "../../tasks/random.ts";
import type { Draw } from "../mixture.ts";
import {
  generateMessages,
  generatePromptVersion,
  instructionListSchema,
  labelMessages,
  labelPromptVersion,
  labelSchema,
  type Variant,
} from "../prompts/generate.ts";
import { type Form, forms, formsOf, type StyleName, styles } from "../prompts/variants.ts";
import { noCost, type Rejection, recordId, type SynthRecord } from "../record.ts";
import { requestSeed } from "../roles.ts";
import type { Seed } from "../seeds.ts";
import { instructionFault } from "./instruction-rules.ts";
import { plainText } from "./similarity.ts";
import { askJson, type Provenance, rejectionOf, type StepContext } from "./step.ts";

/** Made from a question, without a model. */
export const askedAsIs = "as-is/1";

type Passage = Extract<Seed, { kind: "passage" }>;

/** The records of a draw, those among them that are rejected. @param place names the draw within the run. */
export async function generate(place: string, draw: Draw, seed: Seed, context: StepContext): Promise<SynthRecord[]> {
  const { domain, language } = draw;
  const base = { parentId: null, seed: seed.name, step: "generate" as const, domain, language, answers: [] };
  if (seed.kind === "question") {
    const { instruction, truth, answerKind } = seed;
    const record: SynthRecord = {
      ...{
        id: recordId("generate", place, 0),
        ...base,
        instruction,
        answerKind,
        variant: "as-is",
        difficulty: "medium",
      },
      ...(truth === undefined ? {} : { truth }),
      ...{ model: "seed", promptVersion: askedAsIs, requestHash: "", cost: noCost },
    };
    return [withFault(record, instructionFault(instruction, { language, hasPassage: true }, "generate"))];
  }
  const variant = variantOf(draw, context);
  const { answerKind, hasPassage = false }: Form = forms[variant.form];
  const make = (instruction: string, index: number, from: Provenance): SynthRecord => ({
    ...{ id: recordId("generate", place, index), ...base, instruction, answerKind },
    ...{ variant: `${variant.form}/${variant.style}`, difficulty: variant.difficulty },
    ...{ promptVersion: generatePromptVersion, ...from },
  });
  try {
    const { value, from } = await ask(place, draw, seed, variant, context);
    const seen = new Set<string>();
    return value.instructions.slice(0, draw.count).map((text, index) => {
      // the request is paid once: its cost stands with the first of what it made
      const record = make(
        hasPassage ? `${text.trim()}\n\n${seed.text}` : text.trim(),
        index,
        index === 0 ? from : { ...from, cost: noCost },
      );
      const plain = plainText(text);
      const isRepeated = seen.has(plain);
      seen.add(plain);
      const fault = instructionFault(text, { language, hasPassage }, "generate");
      return withFault(record, fault ?? (isRepeated ? repeated : undefined));
    });
  } catch (error) {
    const nothing = make("", 0, { model: context.roles.generator!.model, requestHash: "", cost: noCost });
    return [withFault(nothing, rejectionOf(error, "generate"))];
  }
}

const repeated: Rejection = {
  step: "generate",
  reason: "repeated",
  detail: "another of the same request says the same",
};

function withFault(record: SynthRecord, rejected: Rejection | undefined): SynthRecord {
  return rejected === undefined ? record : { ...record, rejected };
}

function variantOf({ seed, round, domain }: Draw, { options }: StepContext): Variant {
  const draws = new Draws(options.seed, "variant", seed, round, domain);
  return {
    form: draws.pick(options.generate.forms ?? formsOf(domain)),
    style: draws.pick(Object.keys(styles) as StyleName[]),
    difficulty: draws.pick(options.generate.difficulties),
  };
}

async function ask(
  place: string,
  { domain, language, count }: Draw,
  { text }: Passage,
  variant: Variant,
  { options, roles, signal }: StepContext,
) {
  const { maxTokens, temperature } = options.generate;
  const messages = generateMessages({ passage: text, domain, language, variant, count });
  const seed = requestSeed(options.seed, "generate", place);
  return await askJson(
    roles.generator!,
    { messages, schema: instructionListSchema, maxTokens, temperature, seed },
    signal,
  );
}

/** What is long enough to tell the domain by. */
const labelledCharacters = 1000;
const labelTokens = 60;

/** The domain of a passage or question, of those that the mixture wants; the last of them where the model will not say. */
export async function label(
  place: string,
  seed: Seed,
  domains: readonly [string, ...string[]],
  { options, roles, signal }: StepContext,
): Promise<{ domain: string; promptVersion: string }> {
  const text = seed.kind === "passage" ? seed.text : seed.instruction;
  const request = {
    messages: labelMessages(text.slice(0, labelledCharacters).toWellFormed(), domains),
    schema: labelSchema(domains),
    ...{ maxTokens: labelTokens, temperature: 0, seed: requestSeed(options.seed, "label", place) },
  };
  try {
    const { value } = await askJson(roles.generator!, request, signal);
    return { domain: value.domain, promptVersion: labelPromptVersion };
  } catch (error) {
    rejectionOf(error, "generate");
    return { domain: domains.at(-1)!, promptVersion: labelPromptVersion };
  }
}
