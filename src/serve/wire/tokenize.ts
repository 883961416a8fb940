/** The bodies of POST /tokenize and /detokenize: vLLM's `prompt` and `messages`, llama.cpp's `content`. */
import { z } from "zod";
import { messageList } from "./messages.ts";
import { promptList } from "./prompt.ts";

export const tokenizeRequest = z
  .object({
    model: z.string().optional(),
    prompt: z.string().optional(),
    content: z.string().optional(),
    messages: messageList.optional(),
    return_token_strs: z.boolean().default(false),
  })
  .refine(
    ({ prompt, content, messages }) => [prompt, content, messages].filter((one) => one !== undefined).length === 1,
    {
      path: ["prompt"],
      message: "give one of prompt, content and messages",
    },
  );

export const detokenizeRequest = z.object({
  model: z.string().optional(),
  // An empty list is no prompt, but it is a text.
  tokens: z
    .union([z.tuple([]).transform(() => [new Int32Array(0)]), promptList])
    .refine((prompts) => prompts.length === 1 && typeof prompts[0] !== "string", {
      message: "must be a list of token ids",
    }),
});
