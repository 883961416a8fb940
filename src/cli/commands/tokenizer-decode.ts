import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { quoteForMessage } from "../../base/files.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { readUtf8 } from "../input.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";

const schema = z.strictObject({
  tokenizer: z.string().min(1).describe("a run, or a folder with a tokenizer.json").meta({ valueName: "TOKENIZER" }),
  ids: z
    .array(z.int().min(0))
    .optional()
    .describe("the ids; without them, what comes on stdin, separated by blanks or commas")
    .meta({ valueName: "ID" }),
  skipSpecials: z.boolean().default(false).describe("leave special tokens out of the text"),
  runsFolder: runsFolderOption,
});

export const command = defineCommand({
  schema,
  positionals: ["tokenizer", "ids"],
  examples: [
    { line: "rookery tokenizer decode my-tokenizer 312 87 4", purpose: "the text of three ids" },
    { line: "rookery tokenizer decode my-tokenizer < ids.txt", purpose: "of the ids in a file" },
  ],
  async run({ tokenizer: name, ids: given, skipSpecials, runsFolder }, _context, io): Promise<{ text: string }> {
    const tokenizer = await Tokenizer.load(folderOfModel(name, runsFolder));
    const ids = given ?? parseIds(await readUtf8(io.stdin));
    return { text: tokenizer.decode(ids, { skipSpecialTokens: skipSpecials }) };
  },
  describe: ({ text }) => [text],
});

function parseIds(text: string): number[] {
  const words = text.split(/[\s,[\]]+/).filter((word) => word !== "");
  return words.map((word) => {
    if (/^\d{1,9}$/.test(word)) return Number(word);
    throw new RookeryError(
      "INVALID_OPTION",
      `stdin has ${quoteForMessage(word)}, which is no id`,
      "give integers of at least 0",
    );
  });
}
