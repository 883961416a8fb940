import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { type ExportedModel, exportModel, exportTypes } from "../../interop/export.ts";
import { nameOfModel } from "../../interop/folders.ts";
import { type ExportedGguf, exportGguf, ggufTypes } from "../../interop/gguf/export.ts";
import type { Layout } from "../../interop/layout.ts";
import { defineCommand } from "../command.ts";
import { folderOfModel, modelOption, runsFolderOption } from "../model.ts";
import { alignColumns, formatBytes } from "../text.ts";

const formats = ["hunyuan", "hunyuan-v1-moe", "hunyuan-v1-dense", "gguf"] as const;

const layoutOf = {
  hunyuan: "hunyuan",
  "hunyuan-v1-moe": "hunyuan_v1_moe",
  "hunyuan-v1-dense": "hunyuan_v1_dense",
} as const satisfies Record<Exclude<(typeof formats)[number], "gguf">, Layout>;

const schema = z.strictObject({
  model: modelOption,
  format: z
    .enum(formats)
    .describe("the official layout, one of transformers', which vLLM reads too, or a GGUF file for llama.cpp"),
  out: z.string().min(1).describe("the directory to make, or the file for gguf").meta({ valueName: "PATH" }),
  type: z
    .enum([...new Set([...exportTypes, ...ggufTypes])])
    .default("same")
    .describe("type of the weights: same, f32, bf16 or f16; for gguf f32, f16, bf16 or q8_0 (same means f32)"),
  runsFolder: runsFolderOption,
});

function isOneOf<const Type extends string>(types: readonly Type[], type: string): type is Type {
  return (types as readonly string[]).includes(type);
}

function wrongType(type: string, format: string, types: readonly string[]): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `${type} is no type of weights for ${format}`,
    `types there: ${types.join(", ")}`,
  );
}

type Result = ExportedModel | ExportedGguf;

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    {
      line: "rookery export my-run --format hunyuan-v1-moe --out for-vllm --type bf16",
      purpose: "for transformers and vLLM",
    },
    { line: "rookery export my-run --format gguf --out model.gguf --type q8_0", purpose: "for llama.cpp" },
    { line: "rookery export my-run --format hunyuan --out official", purpose: "in the layout of Hunyuan-Large" },
  ],
  async run({ model, runsFolder, format, out, type }, context): Promise<Result> {
    const folder = folderOfModel(model, runsFolder);
    if (format === "gguf") {
      const ggufType = type === "same" ? "f32" : type;
      if (!isOneOf(ggufTypes, ggufType)) throw wrongType(type, format, ["same", ...ggufTypes]);
      const name = nameOfModel(model);
      return await exportGguf({ folder, output: out, type: ggufType, name }, context);
    }
    if (!isOneOf(exportTypes, type)) throw wrongType(type, format, exportTypes);
    return await exportModel({ folder, output: out, layout: layoutOf[format], type }, context);
  },
  describe: (result) => [
    ...alignColumns([
      ["written", result.path],
      ["format", "layout" in result ? result.layout : result.architecture],
      ["size", formatBytes(result.byteLength)],
      ...("layout" in result && result.filesKept > 0
        ? [["kept", `${result.filesKept} of ${result.files} files from an export that was interrupted`]]
        : []),
    ]),
    ...result.notes,
  ],
});
