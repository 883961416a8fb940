import { RookeryError } from "../base/errors.ts";
import { quoteForMessage, readTextFile } from "../base/files.ts";
import { spellBytes } from "./byte-alphabet.ts";
import { officialSpecialTokens } from "./pattern.ts";
import { makeTokenizerJson, type TokenizerJson } from "./tokenizer-file.ts";

// The vocabulary of Hunyuan-Large, `hy.tiktoken`: a line a token, its bytes in base64 and its rank. The loader of its makers
// goes by the place of the line and not by the number beside it; so does this. The special tokens follow the last line.

/** Several times the official file, which has 2,141,890 bytes. */
const fileLimitBytes = 32 * 1024 * 1024;
/** The longest official token has 128 bytes; merging a token of its bytes takes the square of its length. */
const maxTokenBytes = 1024;
const maxTokens = 1 << 20;

/**
 * A `hy.tiktoken` file as the `tokenizer.json` of the same tokenizer. Throws FILE_UNREADABLE, or FILE_DAMAGED naming the line.
 */
export function readTiktokenFile(filePath: string): TokenizerJson {
  return tiktokenToJson(readTextFile(filePath, fileLimitBytes), filePath);
}

/** The same of a text; `source` names it in messages. */
export function tiktokenToJson(text: string, source: string): TokenizerJson {
  const tokens = parseTokens(text, source);
  const rankOf = new Map(tokens.map((token, rank) => [token, rank]));
  const spelled = tokens.map(spell);
  const merges: [string, string][] = [];
  for (const [rank, token] of tokens.entries()) {
    const parts = partsOf(token, rank, rankOf);
    // Some tokens are no merge of two others: they are found only where they are a whole piece (ignore_merges).
    if (parts !== null) merges.push([spell(parts[0]), spell(parts[1])]);
  }
  const json = makeTokenizerJson({ tokens: spelled, merges }, officialSpecialTokens);
  return { ...json, model: { ...json.model, ignore_merges: true } };
}

/** Tokens in rank order, a character a byte. */
function parseTokens(text: string, source: string): string[] {
  const damaged = (line: number, what: string): RookeryError =>
    new RookeryError("FILE_DAMAGED", `${source}: line ${line} ${what}`, "take another copy of the file");
  const tokens: string[] = [];
  const seen = new Set<string>();
  let start = 0;
  for (let line = 1; start < text.length; line++) {
    const lineEnd = text.indexOf("\n", start);
    const end = lineEnd < 0 ? text.length : lineEnd;
    const content = text.slice(start, Math.min(end, start + 2 * maxTokenBytes)).trimEnd();
    start = end + 1;
    const match = /^([A-Za-z0-9+/]+={0,2}) \d+$/.exec(content);
    if (match === null) throw damaged(line, `is no token and its rank: ${quoteForMessage(content)}`);
    const token = Buffer.from(match[1]!, "base64").toString("latin1");
    if (token === "" || token.length > maxTokenBytes) throw damaged(line, `has a token of ${token.length} bytes`);
    if (seen.has(token)) throw damaged(line, `has the token of an earlier line: ${quoteForMessage(match[1]!)}`);
    seen.add(token);
    tokens.push(token);
    if (tokens.length > maxTokens) throw damaged(line, `is over the most tokens, ${maxTokens}`);
  }
  if (tokens.length < 256) throw damaged(tokens.length + 1, "is missing: every single byte has to be a token");
  return tokens;
}

function spell(token: string): string {
  return spellBytes(Buffer.from(token, "latin1"));
}

/**
 * The two tokens that become `token` last, when its bytes are merged by tokens of lower rank, the lowest first and the
 * leftmost of those; null when more than two are left, or when it is a single byte.
 */
function partsOf(token: string, rank: number, rankOf: ReadonlyMap<string, number>): [string, string] | null {
  const parts = Array.from(token);
  while (parts.length > 2) {
    let lowest = rank;
    let at = -1;
    for (let index = 0; index + 1 < parts.length; index++) {
      const merged = rankOf.get(parts[index]! + parts[index + 1]!);
      if (merged === undefined || merged >= lowest) continue;
      lowest = merged;
      at = index;
    }
    if (at < 0) return null;
    parts.splice(at, 2, parts[at]! + parts[at + 1]!);
  }
  return parts.length === 2 ? [parts[0]!, parts[1]!] : null;
}
