import { chatTemplate } from "../../text/chat-template.ts";
import type { ServeContext, Service } from "../service.ts";
import { parseBody } from "../wire/common.ts";
import { detokenizeRequest, tokenizeRequest } from "../wire/tokenize.ts";
import { readBody } from "./answering.ts";

/**
 * POST /tokenize. A text is read as a raw prompt of /v1/completions is, so that clients count as the server does; text that spells
 * a special token is that token, whatever `add_special_tokens` says: this server never adds any.
 */
export async function tokenize(service: Service, context: ServeContext): Promise<Response> {
  const { tokens, prompts, engine } = service;
  const { ids, withTexts } = await readBody(service, context, async (body) => {
    const fields = parseBody(tokenizeRequest, body);
    service.checkModel(fields.model);
    const text = fields.prompt ?? fields.content ?? "";
    const encode = () => (text === "" ? new Int32Array(0) : prompts.raw(text, "prompt"));
    const ids = fields.messages ? await prompts.chat(fields.messages, "messages") : await encode();
    return { ids, withTexts: fields.return_token_strs };
  });
  return context.json({
    count: ids.length,
    max_model_len: engine.info.maxModelLength,
    tokens: [...ids],
    ...(withTexts ? { token_strs: Array.from(ids, (id) => tokens.textOf(id)) } : {}),
  });
}

/** POST /detokenize: the text of ids, special tokens spelled out. */
export async function detokenize(service: Service, context: ServeContext): Promise<Response> {
  const { tokenizer } = service.model;
  const text = await readBody(service, context, (body) => {
    const fields = parseBody(detokenizeRequest, body);
    service.checkModel(fields.model);
    return tokenizer.decode(fields.tokens[0] as Int32Array);
  });
  // vLLM and llama.cpp call it by different names.
  return context.json({ prompt: text, content: text });
}

/** GET /tokenizer_info: what lm-eval asks for before it uses this server's tokenizer. */
export function tokenizerInfo(service: Service, context: ServeContext): Response {
  const { tokenizer } = service.model;
  const { config } = tokenizer;
  return context.json({
    tokenizer_class: typeof config.tokenizer_class === "string" ? config.tokenizer_class : "PreTrainedTokenizerFast",
    vocabulary_size: tokenizer.vocabularySize,
    max_model_len: service.engine.info.maxModelLength,
    bos_token: textOf(config.bos_token),
    eos_token: textOf(config.eos_token),
    pad_token: textOf(config.pad_token),
    unk_token: textOf(config.unk_token),
    add_bos_token: false,
    add_eos_token: false,
    chat_template: typeof config.chat_template === "string" ? config.chat_template : chatTemplate,
  });
}

/** tokenizer_config.json has special tokens as texts, or as objects with a text inside. */
function textOf(token: unknown): string | null {
  if (typeof token === "string") return token;
  if (typeof token !== "object" || token === null || !("content" in token)) return null;
  return typeof token.content === "string" ? token.content : null;
}
