import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { readTextFile } from "../../base/files.ts";
import { engineOptionsSchema } from "../../engine/options.ts";
import { nameOfModel } from "../../interop/folders.ts";
import { serveModel } from "../../serve/serve-model.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";
import { shortNumber } from "../text.ts";

const engine = engineOptionsSchema.shape;

export const serveSchema = z.strictObject({
  model: z.string().min(1).describe("a run, or a model directory").meta({ valueName: "MODEL" }),
  runsFolder: runsFolderOption,
  host: z
    .string()
    .min(1)
    .default("127.0.0.1")
    .describe("the address to listen on; 0.0.0.0 for all of this machine, which needs an API key")
    .meta({ valueName: "ADDRESS" }),
  port: z.int().min(0).max(65_535).default(8080).describe("the port to listen on; 0 for any").meta({ valueName: "N" }),
  apiKeyFile: z
    .string()
    .min(1)
    .optional()
    .describe("a file with API keys, one a line (or one key in the variable ROOKERY_API_KEY)")
    .meta({ valueName: "FILE" }),
  apiKey: z
    .string()
    .min(1)
    .optional()
    .describe("an API key; other users of this machine see it in the list of processes: better use a file")
    .meta({ valueName: "KEY" }),
  maxModelLen: engine.maxModelLength.meta({ valueName: "N" }),
  kvCacheDtype: engine.keyValueCacheType.meta({ valueName: "TYPE" }),
  cacheBytes: engine.cacheBytes.meta({ valueName: "N" }),
  maxBatch: engine.maxBatch.meta({ valueName: "N" }),
  queueLimit: engine.queueLimit.meta({ valueName: "N" }),
  computeType: engine.computeType,
  threads: engine.threads.meta({ valueName: "N" }),
  run: z
    .string()
    .min(1)
    .optional()
    .describe("the run whose training page is shown at /training; by default MODEL's own")
    .meta({ valueName: "RUN" }),
  drainSeconds: z
    .number()
    .min(0)
    .max(3600)
    .default(30)
    .describe("how long running requests may go on after Ctrl-C or SIGTERM")
    .meta({ valueName: "N" }),
});

type ServeOptions = z.output<typeof serveSchema>;

export const command = defineCommand({
  schema: serveSchema,
  positionals: ["model"],
  stopMessage: "no new requests are taken, those that run may end",
  examples: [
    { line: "rookery serve my-run", purpose: "on http://127.0.0.1:8080, for this machine only" },
    { line: "rookery serve my-run --host 0.0.0.0 --api-key-file keys.txt", purpose: "for others, who have a key" },
    { line: "rookery serve my-run --run newer-run", purpose: "and the figures of another run, which may be under way" },
    { line: "rookery serve models/nano --kv-cache-dtype fp8 --max-model-len 8192", purpose: "with a smaller cache" },
  ],
  run: serve,
  describe: ({ seconds, finishedRequests, promptTokens, generatedTokens }) => [
    `${finishedRequests} requests in ${Math.round(seconds)} s: ${shortNumber(promptTokens)} tokens read, ${shortNumber(generatedTokens)} written`,
  ],
});

/** Serves until the signal is raised; answers with what it has done. @throws RookeryError as `serveModel` does. */
export async function serve(options: ServeOptions, context: CommandContext, io: CommandIo) {
  const modelFolder = folderOfModel(options.model, options.runsFolder);
  const runFolder = runFolderOf(options, modelFolder);
  const served = await serveModel(
    {
      modelFolder,
      modelId: nameOfModel(options.model),
      host: options.host,
      port: options.port,
      apiKeys: readKeys(options, io.environment),
      engine: {
        maxModelLength: options.maxModelLen,
        keyValueCacheType: options.kvCacheDtype,
        cacheBytes: options.cacheBytes,
        maxBatch: options.maxBatch,
        queueLimit: options.queueLimit,
        computeType: options.computeType,
        threads: options.threads,
      },
      drainSeconds: options.drainSeconds,
      ...(runFolder === undefined ? {} : { runFolder }),
      onState: (state, url) => {
        if (state === "ready") io.write(`serving ${nameOfModel(options.model)} on ${url}\n`);
        else context.onEvent?.({ type: "note", message: `listening on ${url}; loading ${modelFolder}` });
      },
    },
    context,
  );
  return { model: options.model, ...served };
}

/** The run that is asked for, by name or folder; else the run that the model lies in, if it does. */
function runFolderOf({ run, runsFolder }: ServeOptions, modelFolder: string): string | undefined {
  const isRun = (folder: string) => fs.existsSync(path.join(folder, "metrics.jsonl"));
  if (run !== undefined) {
    const named = path.join(runsFolder, run);
    return isRun(named) ? named : run;
  }
  const around = path.dirname(modelFolder);
  return path.basename(modelFolder) === "model" && isRun(around) ? around : undefined;
}

function readKeys(options: ServeOptions, environment: Readonly<Record<string, string | undefined>>): string[] {
  const file = options.apiKeyFile;
  const keysOf = (text: string | undefined) => (text ?? "").split("\n").map((key) => key.trim());
  const fromFile = file === undefined ? [] : keysOf(readTextFile(file)).filter((key) => key !== "");
  if (file !== undefined && fromFile.length === 0) {
    throw new RookeryError("INVALID_OPTION", `--api-key-file ${file} has no keys`, "write a key a line into it");
  }
  const others = [...keysOf(options.apiKey), ...keysOf(environment.ROOKERY_API_KEY)].filter((key) => key !== "");
  return [...new Set([...fromFile, ...others])];
}
