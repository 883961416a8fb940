/** What MODEL means to the commands over long texts, which also say how long these are and ask one prompt after another. */
import type { CommandContext } from "../base/events.ts";
import type { EvalModel } from "../eval/model.ts";
import { isUrl, type ModelUnderTest, openModel } from "../eval/open-model.ts";
import { evalRunOptionsSchema, modelUnderTestShape } from "../eval/options.ts";
import type { CommandIo } from "./command.ts";
import { runsFolderOption } from "./model.ts";

const { concurrency: _, ...shape } = modelUnderTestShape;

export const longModelOptions = { model: evalRunOptionsSchema.shape.model, runsFolder: runsFolderOption, ...shape };

/**
 * @param longest tokens that will be read, if that is known: a model in this process then reads as many, whatever it was made for.
 * @throws as `openModel`.
 */
export async function openLongModel(
  options: Omit<ModelUnderTest, "apiKey" | "needsTokens">,
  longest: number | undefined,
  context: CommandContext,
  environment: CommandIo["environment"],
): Promise<EvalModel> {
  const maxModelLen = options.maxModelLen ?? (isUrl(options.model) ? undefined : longest);
  return await openModel({ ...options, maxModelLen, apiKey: environment.ROOKERY_API_KEY, needsTokens: false }, context);
}
