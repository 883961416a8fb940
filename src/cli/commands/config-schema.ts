import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import type { OptionSchema } from "../../base/option-schema.ts";
import { defineCommand } from "../command.ts";
import { commandTable } from "../commands.ts";

const schema = z.strictObject({
  command: z.array(z.string()).min(1).describe("the command, one or two words").meta({ valueName: "COMMAND" }),
});

export const command = defineCommand({
  schema,
  positionals: ["command"],
  examples: [
    { line: "rookery config schema doctor", purpose: "what a configuration file of a command may hold" },
    { line: "rookery config schema config schema --json", purpose: "the same inside an object that names its format" },
  ],
  async run({ command: words }): Promise<{ command: string; schema: OptionSchema }> {
    const name = words.join(" ");
    const entry = commandTable.find((one) => one.name === name);
    if (entry === undefined) {
      const known = commandTable.map((one) => one.name);
      throw new RookeryError("UNKNOWN_OPTION", `unknown command "${name}"`, didYouMean(name, known));
    }
    return { command: name, schema: (await entry.load()).command.schema };
  },
  describe: (result) => [JSON.stringify(result.schema, null, 2)],
});
