/** What MODEL means to commands that evaluate: a run, a folder, or a server. */
import { z } from "zod";
import type { CommandContext } from "../base/events.ts";
import { engineOptionsSchema } from "../engine/options.ts";
import { openEndpointModel } from "../eval/endpoint-model.ts";
import { openLocalModel } from "../eval/local-model.ts";
import type { EvalModel } from "../eval/model.ts";
import type { CommandIo } from "./command.ts";
import { folderOfModel, runsFolderOption } from "./model.ts";

const engine = engineOptionsSchema.shape;

export const evalModelOptions = {
  model: z
    .string()
    .min(1)
    .describe("a run, a model directory, or the address of a server, such as http://127.0.0.1:8080")
    .meta({ valueName: "MODEL" }),
  runsFolder: runsFolderOption,
  servedModel: z
    .string()
    .min(1)
    .optional()
    .describe("which model of a server; by default its first")
    .meta({ valueName: "NAME" }),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe("the folder of the served model's tokenizer, for servers that do not offer it")
    .meta({ valueName: "FOLDER" }),
  computeType: engine.computeType,
  threads: engine.threads.meta({ valueName: "N" }),
  kvCacheDtype: engine.keyValueCacheType.meta({ valueName: "TYPE" }),
};

type EvalModelChoice = {
  model: string;
  runsFolder: string;
  servedModel?: string | undefined;
  tokenizer?: string | undefined;
  computeType: "bf16" | "f32";
  threads?: number | undefined;
  kvCacheDtype: z.output<typeof engine.keyValueCacheType>;
};

export const isAddress = (model: string): boolean => /^https?:\/\//.test(model);

/**
 * @param wanted the longest text that will be read, if it is known, and how many at once.
 * @throws what `openLocalModel` and `openEndpointModel` throw.
 */
export async function openEvalModel(
  choice: EvalModelChoice,
  wanted: { maxLength?: number | undefined; concurrency: number },
  context: CommandContext,
  environment: CommandIo["environment"],
): Promise<EvalModel> {
  const { model, servedModel, tokenizer, computeType, threads, kvCacheDtype } = choice;
  const { maxLength, concurrency } = wanted;
  if (isAddress(model)) {
    const server = { url: model, apiKey: environment.ROOKERY_API_KEY, model: servedModel, tokenizer };
    return await openEndpointModel({ ...server, concurrency }, false, context.signal);
  }
  const engineOptions = {
    ...{ computeType, threads, keyValueCacheType: kvCacheDtype, maxModelLength: maxLength },
    // room for as many texts as are read at once, and as many again to keep prefixes of
    maxBatch: 2 * concurrency,
  };
  return await openLocalModel(folderOfModel(model, choice.runsFolder), engineOptions, context);
}
