/** A law by name, or from the file that a fit has left. */
import { extname } from "node:path";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage, readJsonFile } from "../base/files.ts";
import { nearest } from "../base/nearest.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { fitBatch } from "./batch.ts";
import { isLawName, lawNames, laws, type ScalingLaw } from "./laws.ts";
import { tableEndings } from "./table-file.ts";

export const scaleFitFormat = "rookery-scale-fit/1";

const finite = z.number();
const positive = z.number().positive();
const power = z.object({ coefficient: positive, exponent: finite });
/** What is best for more compute is more. */
const rising = z.object({ coefficient: positive, exponent: positive });
const frontier = z.object({ floor: finite, coefficient: finite, exponent: finite });
const loss = z.object({
  floor: finite,
  parameterCoefficient: positive,
  parameterExponent: positive,
  tokenCoefficient: positive,
  tokenExponent: positive,
});
const mostSamples = 10_000;

const batchSchema = z.object({
  tokens: power.nullable(),
  critical: z.object({ tokensAtOneNat: positive, exponent: finite, source: z.string() }).nullable(),
});

const lawSchema = z.object({
  name: z.string(),
  source: z.string(),
  compute: z.object({ perParameterToken: positive, perToken: z.number().min(0) }),
  parameters: rising,
  tokens: rising,
  loss: loss.nullable(),
  frontier: frontier.nullable(),
  computeRange: z.tuple([positive, positive]).refine(([least, most]) => least <= most, "is upside down"),
  minima: z
    .array(z.object({ compute: positive, parameters: positive, tokens: positive, loss: positive }))
    .max(mostSamples),
  batch: batchSchema,
  chosen: z.object({ activatedParameters: positive, tokens: positive }).nullable(),
  uncertainty: z
    .object({
      parameters: z.array(power).min(1).max(mostSamples),
      tokens: z.array(power).min(1).max(mostSamples),
      frontier: z.array(frontier).min(1).max(mostSamples),
      errorPerDecade: z.object({ logParameters: finite, logTokens: finite, loss: finite }),
    })
    .nullable(),
  notes: z.array(z.string()),
}) satisfies z.ZodType<ScalingLaw>;

/** Where fits stood before their law had `batch`: B_crit beside the law, and the batch in each run. */
const earlierFit = z.object({
  criticalBatch: batchSchema.shape.critical,
  budgets: z.array(z.object({ points: z.array(z.object({ budget: positive, batchTokens: positive.nullable() })) })),
});

function withBatch(content: Record<string, unknown>): unknown {
  const { law } = content;
  if (!isPlainObject(law) || "batch" in law) return law;
  const earlier = earlierFit.safeParse(content);
  if (!earlier.success) return law;
  const { criticalBatch, budgets } = earlier.data;
  return { ...law, batch: { tokens: fitBatch(budgets.flatMap(({ points }) => points)), critical: criticalBatch } };
}

/**
 * The published law of that name, or the one in the JSON that `rookery scale fit --json` wrote to that path.
 * @throws RookeryError INVALID_OPTION for neither, UNKNOWN_FORMAT or FILE_DAMAGED for a file of something else.
 */
export function resolveLaw(nameOrFile: string): ScalingLaw {
  if (isLawName(nameOrFile)) return laws[nameOrFile];
  if (!/[./\\]/.test(nameOrFile)) {
    const near = nearest(nameOrFile, lawNames);
    throw new RookeryError(
      "INVALID_OPTION",
      `there is no law ${quoteForMessage(nameOrFile)}`,
      `${near ? `did you mean ${near}? ` : ""}the published ones are ${lawNames.join(", ")}; a file needs its ending, as fit.json`,
    );
  }
  const mend = "give what `rookery scale fit TABLE --json` wrote";
  if (tableEndings.includes(extname(nameOrFile).toLowerCase())) {
    throw new RookeryError("UNKNOWN_FORMAT", `${nameOrFile} is a table of runs, which has no law yet`, mend);
  }
  const content = readJsonFile(nameOrFile);
  if (!isPlainObject(content) || content.format !== scaleFitFormat) {
    const found =
      isPlainObject(content) && typeof content.format === "string" ? quoteForMessage(content.format) : "none";
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${nameOrFile} has the format ${found}; this Rookery reads "${scaleFitFormat}"`,
      mend,
    );
  }
  const parsed = lawSchema.safeParse(withBatch(content));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RookeryError(
    "FILE_DAMAGED",
    `${nameOrFile}: ${["law", ...(issue?.path ?? [])].join(".")} ${issue?.message.toLowerCase()}`,
    "fit the table again, with more runs if it came out so",
  );
}
