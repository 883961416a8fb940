/** A model directory of any configuration with random weights, made as fast as it can be written: for measuring speed and size. */
import path from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { streamKeys } from "../base/random.ts";
import { encodeFloats } from "../interop/gguf/tensors.ts";
import { writeModelDirectory } from "../interop/model-directory.ts";
import type { ModelConfig } from "../model/config.ts";
import { fillNormal } from "../model/initialize.ts";
import { describeParameters, elementCount } from "../model/parameters.ts";
import { bytesInIdOrder, spellBytes } from "../text/byte-alphabet.ts";
import { specialTokens } from "../text/pattern.ts";
import { Tokenizer } from "../text/tokenizer.ts";

const pooledNumbers = 2 ** 22;

/** A tokenizer of exactly `vocabularySize` tokens: the bytes, pairs of them, and the special tokens. */
export function fillerTokenizer(vocabularySize: number): Tokenizer {
  const bytes = Array.from(bytesInIdOrder, (byte) => spellBytes(Uint8Array.of(byte)));
  const pairs = vocabularySize - bytes.length - specialTokens.length;
  if (pairs < 0 || pairs > 65_536) throw new RangeError(`no filler tokenizer has ${vocabularySize} tokens`);
  const merges = Array.from({ length: pairs }, (_, at) => [bytes[at >> 8]!, bytes[at & 255]!] as const);
  return Tokenizer.fromTraining({ tokens: [...bytes, ...merges.map((merge) => merge.join(""))], merges });
}

/**
 * Writes the directory `folder` with bf16 weights, norms 1. Weights are stretches of one pool of normal numbers, each parameter's
 * from another place on: speed does not depend on more, and drawing a billion of them would take a minute.
 */
export function writeRandomModel(folder: string, config: ModelConfig): void {
  const tokenizer = fillerTokenizer(config.vocabularySize);
  const pool = new Float32Array(pooledNumbers);
  fillNormal(pool, config.initializerRange, streamKeys(1, "random-model"));
  const numbers = encodeFloats(pool, "BF16", "random weights");
  const ones = (count: number) => encodeFloats(new Float32Array(count).fill(1), "BF16", "norms");
  const bytesOf = function* (elements: number, start: number): Generator<Uint8Array> {
    for (let left = 2 * elements, at = 2 * start; left > 0; at = 0) {
      const piece = numbers.subarray(at, at + left);
      left -= piece.byteLength;
      yield piece;
    }
  };
  const tensors = describeParameters(config).flatMap(({ role, official }) =>
    official.map(({ name, shape }, index) => {
      const elements = elementCount(shape);
      const start = (elements * 7 + index * 104_729) % pooledNumbers;
      return {
        name,
        dtype: "BF16" as const,
        shape,
        bytes: role === "norm" ? ones(elements) : bytesOf(elements, start),
      };
    }),
  );
  writeModelDirectory(folder, {
    config,
    tensors,
    generation: {
      bosTokenId: tokenizer.controlId("startOfText"),
      eosTokenIds: [tokenizer.controlId("eos")],
      padTokenId: tokenizer.controlId("pad"),
    },
    modelCard: "# Random weights\n\nFor measuring speed and size: this model can say nothing.\n",
    writeTokenizer: (into) => {
      writeFileAtomic(path.join(into, "tokenizer.json"), JSON.stringify(tokenizer.json));
      writeFileAtomic(path.join(into, "tokenizer_config.json"), JSON.stringify(tokenizer.config));
    },
  });
}
