import type { GenerationSettings } from "../interop/generation-config.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** What a server says and needs of the model behind its engine. */
export type ServedModel = {
  /** The name that clients ask for; may hold slashes. */
  id: string;
  tokenizer: Tokenizer;
  /** What generation_config.json says: the settings where a request has none, and the tokens that end an answer. */
  generation: GenerationSettings;
  /** When the model was made or loaded, in seconds since 1970. */
  createdSeconds: number;
};
