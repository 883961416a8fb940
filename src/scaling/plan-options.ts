/** What a user can say about a plan; the schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { modelConfigSchema } from "../model/config.ts";
import { type PresetName, presets } from "../model/presets.ts";
import { acceleratorNames } from "./accelerators.ts";
import { mostDevices } from "./hardware.ts";
import { lawNames } from "./laws.ts";
import { servingTypes } from "./serving.ts";

const quantity = (description: string, valueName: string) =>
  z.number().positive().optional().describe(description).meta({ valueName });

export const defaultLaw = "hunyuan-large";

export const planOptionsSchema = z.strictObject({
  compute: quantity("training FLOPs, as 3.1e24", "FLOPS"),
  activatedParameters: quantity("parameters that a token meets", "COUNT"),
  tokens: quantity("tokens to train on", "COUNT"),
  days: quantity("days that training may take", "DAYS"),
  money: quantity("what training may cost, in the currency of --price-per-hour", "AMOUNT"),
  law: z
    .string()
    .min(1)
    .default(defaultLaw)
    .describe(`a published law (${lawNames.join(", ")}), or what \`rookery scale fit --json\` wrote`)
    .meta({ valueName: "LAW", examples: [...lawNames] }),
  family: z
    .enum(Object.keys(presets) as [PresetName, ...PresetName[]])
    .default("hunyuan-large")
    .describe("the preset whose proportions, sparsity and vocabulary the model takes"),
  model: modelConfigSchema
    .partial()
    .prefault({})
    .describe("what differs from the preset, as in the sweep: --set model.KEY=VALUE"),
  accelerator: z.enum(acceleratorNames).default("h100-sxm").describe("the device to train and to serve on"),
  devices: z
    .int()
    .min(1)
    .max(mostDevices)
    .optional()
    .describe("how many; by default those that --days asks for, or 90 days")
    .meta({ valueName: "COUNT" }),
  utilization: z
    .number()
    .positive()
    .max(1)
    .default(0.4)
    .describe("share of a device's bf16 peak that training reaches"),
  pricePerHour: z.number().positive().optional().describe("price of a device for an hour").meta({ valueName: "PRICE" }),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 24)
    .default(8192)
    .describe("tokens a row in training")
    .meta({ valueName: "TOKENS" }),
  batchTokens: z
    .int()
    .min(8)
    .optional()
    .describe("tokens an update; by default as the law's own runs had it, or by a published rule")
    .meta({ valueName: "TOKENS" }),
  weightType: z.enum(servingTypes).default("bf16").describe("type of the weights when serving"),
});

export type PlanOptionsInput = z.input<typeof planOptionsSchema>;
export type PlanOptions = z.output<typeof planOptionsSchema>;
