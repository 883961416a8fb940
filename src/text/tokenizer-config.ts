import { chatTemplate } from "./chat-template.ts";
import { controlText } from "./pattern.ts";

/** `tokenizer_config.json`: what Hugging Face's transformers, vLLM and lm-eval read beside `tokenizer.json`. */
export type TokenizerConfig = Record<string, unknown>;

/**
 * The `tokenizer_config.json` of our own tokenizers. Nothing is added to a prompt by itself: the chat template places
 * the start token, and a raw prompt is taken as it is. `modelMaxLength` is in tokens.
 */
export function makeTokenizerConfig(options: { modelMaxLength?: number } = {}): TokenizerConfig {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: controlText.startOfText,
    eos_token: controlText.eos,
    pad_token: controlText.pad,
    unk_token: null,
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    ...(options.modelMaxLength === undefined ? {} : { model_max_length: options.modelMaxLength }),
    chat_template: chatTemplate,
  };
}
