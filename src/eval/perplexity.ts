/** How well a model predicts texts: bits per byte and perplexity, by domain, and by position in the context. */
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { DocumentReader } from "../data/documents/read.ts";
import { readFileDocuments, resolveFiles } from "../data/files.ts";
import type { EvalModel } from "./model.ts";

/** Documents of one domain. `key` names the document. */
export type TextItem = { domain: string; key: string; text: string };

/** Tokens at positions [2ⁱ⁻¹, 2ⁱ) of their window, i being the number of the sum: how many, their nats, their bytes. */
export type PositionSum = { tokens: number; nats: number; bytes: number };
export type TextResult = { characters: number; positions: PositionSum[] };

export type TextFigures = {
  domain: string;
  documents: number;
  tokens: number;
  bytes: number;
  bitsPerByte: number;
  /** exp of the mean nats a token: depends on the tokenizer, unlike bits per byte. */
  perplexity: number;
  /** `from` ≤ position < `to`. */
  positions: { from: number; to: number; tokens: number; bitsPerByte: number; natsPerToken: number }[];
};

/**
 * The documents of what `--texts` names: DOMAIN=PATH, or a path whose file or folder names the domain.
 * @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED, BAD_DATA where there are none.
 */
export async function readTexts(given: readonly string[], limit: number | undefined): Promise<TextItem[]> {
  const items: TextItem[] = [];
  await using documents = new DocumentReader();
  for (const one of given) {
    const named = /^([^=/\\]+)=(.+)$/.exec(one);
    const pattern = named?.[2] ?? one;
    const domain = named?.[1] ?? path.basename(pattern).replace(/\.[^.]*$/, "");
    const { files } = await resolveFiles(pattern, (file, error) => {
      throw new RookeryError("FILE_UNREADABLE", `${file}: ${(error as Error).message}`, "correct the path");
    });
    let count = 0;
    for (const file of files) {
      const problem = (kind: string, line: number | null, what: string) => {
        const where = line === null ? file : `${file}, line ${line}`;
        const mend = kind === "missingField" ? 'name the field or column "text"' : "mend it, or leave it out";
        throw new RookeryError("FILE_DAMAGED", `${where} ${what}`, mend);
      };
      const reading = { textField: undefined, maxDocumentCharacters: mostCharacters, problem, documents };
      for await (const { text } of readFileDocuments(file, reading)) {
        if (limit !== undefined && count >= limit) break;
        if (text.trim() !== "") items.push({ domain, key: `${domain}/${count++}`, text });
      }
    }
    if (count === 0) throw new RookeryError("BAD_DATA", `${pattern} has no text`, "give a file with text");
  }
  return items;
}

/** Longer plain texts are several documents. */
const mostCharacters = 2 ** 20;

export async function scoreText(
  model: EvalModel,
  { text }: TextItem,
  windowTokens: number | undefined,
  signal: AbortSignal | undefined,
): Promise<TextResult> {
  const tokens = await model.rolling(text, windowTokens === undefined ? {} : { windowTokens }, signal);
  const positions: PositionSum[] = [];
  for (const { logprob, position, bytes } of tokens) {
    const bucket = Math.floor(Math.log2(position)) + 1;
    while (positions.length <= bucket) positions.push({ tokens: 0, nats: 0, bytes: 0 });
    const sum = positions[bucket]!;
    sum.tokens += 1;
    sum.nats -= logprob;
    sum.bytes += bytes;
  }
  return { characters: text.length, positions };
}

export function textFigures(domain: string, results: readonly TextResult[]): TextFigures {
  const sums: PositionSum[] = [];
  for (const { positions } of results) {
    for (const [bucket, { tokens, nats, bytes }] of positions.entries()) {
      sums[bucket] ??= { tokens: 0, nats: 0, bytes: 0 };
      sums[bucket].tokens += tokens;
      sums[bucket].nats += nats;
      sums[bucket].bytes += bytes;
    }
  }
  const total = (key: keyof PositionSum) => sums.reduce((sum, one) => sum + one[key], 0);
  const [tokens, nats, bytes] = [total("tokens"), total("nats"), total("bytes")];
  return {
    domain,
    documents: results.length,
    tokens,
    bytes,
    bitsPerByte: nats / Math.LN2 / Math.max(1, bytes),
    perplexity: Math.exp(nats / Math.max(1, tokens)),
    positions: sums.flatMap((sum, bucket) =>
      sum.tokens === 0
        ? []
        : [
            {
              from: 2 ** (bucket - 1),
              to: 2 ** bucket,
              tokens: sum.tokens,
              bitsPerByte: sum.nats / Math.LN2 / Math.max(1, sum.bytes),
              natsPerToken: sum.nats / sum.tokens,
            },
          ],
    ),
  };
}
