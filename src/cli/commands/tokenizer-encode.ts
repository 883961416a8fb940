import { z } from "zod";
import { Tokenizer } from "../../text/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { readUtf8 } from "../input.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";

const schema = z.strictObject({
  tokenizer: z.string().min(1).describe("a run, or a folder with a tokenizer.json").meta({ valueName: "TOKENIZER" }),
  text: z.string().optional().describe("the text; without it, what comes on stdin").meta({ valueName: "TEXT" }),
  specials: z
    .boolean()
    .default(false)
    .describe("let text that spells a special token become that token; otherwise it stays text"),
  runsFolder: runsFolderOption,
});

type EncodeResult = { ids: number[]; characters: number; charactersPerToken: number | null };

export const command = defineCommand({
  schema,
  positionals: ["tokenizer", "text"],
  examples: [
    { line: 'rookery tokenizer encode my-tokenizer "some text"', purpose: "the ids of a text" },
    {
      line: "rookery tokenizer encode my-tokenizer --json < book.txt",
      purpose: "of a file, with characters per token",
    },
  ],
  async run({ tokenizer: name, text: given, specials, runsFolder }, _context, io): Promise<EncodeResult> {
    const tokenizer = await Tokenizer.load(folderOfModel(name, runsFolder));
    const text = given ?? (await readUtf8(io.stdin));
    const ids = specials ? await tokenizer.encodeWithSpecials(text) : await tokenizer.encodeText(text);
    return {
      ids: [...ids],
      characters: text.length,
      charactersPerToken: ids.length === 0 ? null : text.length / ids.length,
    };
  },
  describe: ({ ids }) => [ids.join(" ")],
});
