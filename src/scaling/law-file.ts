/** A law by name, or from the file that a fit has left. */
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage, readJsonFile } from "../base/files.ts";
import { nearest } from "../base/nearest.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { isLawName, lawNames, laws, type ScalingLaw } from "./laws.ts";

export const scaleFitFormat = "rookery-scale-fit/1";

const finite = z.number();
const positive = z.number().positive();
const power = z.object({ coefficient: positive, exponent: finite });
const frontier = z.object({ floor: finite, coefficient: finite, exponent: finite });
const loss = z.object({
  floor: finite,
  parameterCoefficient: positive,
  parameterExponent: positive,
  tokenCoefficient: positive,
  tokenExponent: positive,
});
const mostSamples = 10_000;

const lawSchema = z.object({
  name: z.string(),
  source: z.string(),
  compute: z.object({ perParameterToken: positive, perToken: z.number().min(0) }),
  parameters: power,
  tokens: power,
  loss: loss.nullable(),
  frontier: frontier.nullable(),
  computeRange: z.tuple([positive, positive]),
  minima: z
    .array(z.object({ compute: positive, parameters: positive, tokens: positive, loss: positive }))
    .max(mostSamples),
  chosen: z.object({ activatedParameters: positive, tokens: positive }).nullable(),
  uncertainty: z
    .object({
      parameters: z.array(power).max(mostSamples),
      tokens: z.array(power).max(mostSamples),
      frontier: z.array(frontier).max(mostSamples),
      errorPerDecade: z.object({ logParameters: finite, logTokens: finite, loss: finite }),
    })
    .nullable(),
  notes: z.array(z.string()),
}) satisfies z.ZodType<ScalingLaw>;

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
      `${near ? `did you mean ${near}? ` : ""}The published ones are ${lawNames.join(", ")}; a file needs its ending, as fit.json`,
    );
  }
  const content = readJsonFile(nameOrFile);
  if (!isPlainObject(content) || content.format !== scaleFitFormat) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${nameOrFile} is no ${scaleFitFormat}`,
      "give what `rookery scale fit TABLE --json` wrote",
    );
  }
  const parsed = lawSchema.safeParse(content.law);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RookeryError(
    "FILE_DAMAGED",
    `${nameOrFile}: law.${issue?.path.join(".")} ${issue?.message.toLowerCase()}`,
    "fit the table again",
  );
}
