/**
 * Gathers the texts that any Debian has (documentation, manual pages, the libraries of Python and Perl) into one
 * .jsonl file to train on: enough for a sweep of small models.
 *
 *     node scripts/gather-texts.ts texts.jsonl [FOLDER …]
 *
 * A paragraph that has come before (licences, headings, generated tables) is left out, and so is a file of which little remains.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";

const usualFolders = [
  "/usr/share/doc",
  "/usr/share/man",
  "/usr/share/info",
  "/usr/share/perl",
  "/usr/share/perl5",
  "/usr/share/vim",
  "/usr/lib/python3",
  "/usr/lib/python3.11",
  "/usr/lib/python3.13",
];
const endings = /\.(txt|md|rst|py|pm|pl|pod|info|html?|[1-9])$|^(README|NEWS|FAQ|INSTALL|HACKING|AUTHORS)/i;
/**
 * Licences and lists of changes say the same again and again; other languages of the manual are too few to learn; and what comes
 * from elsewhere (a cloud's tools) would outweigh the rest.
 */
const skipped =
  /copyright|changelog|Changes|licen[cs]e|\/man\/[a-z]{2}(_[A-Z]{2})?\/|\/i18n\/|unicode.*data|\/man.\/(gcloud|bq)/i;
const leastBytes = 500;
const mostBytes = 2_000_000;
const leastKeptShare = 0.5;
/** Long files come in parts, so that a batch holds many of them even where it has few rows. */
const mostPartCharacters = 2000;

function* filesUnder(folder: string): Generator<string> {
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return;
  }
  for (const name of names) {
    const place = path.join(folder, name);
    const stat = statSync(place, { throwIfNoEntry: false });
    if (stat?.isDirectory() && path.resolve(place) === place) yield* filesUnder(place);
    else if (stat?.isFile() && stat.size < mostBytes) yield place;
  }
}

/** The text of a file, or undefined for one that is none. */
function textOf(file: string): string | undefined {
  const name = path.basename(file).replace(/\.gz$/, "");
  if (!endings.test(name) || skipped.test(file)) return undefined;
  let text: string;
  try {
    const bytes = readFileSync(file);
    text = new TextDecoder("utf-8", { fatal: true }).decode(file.endsWith(".gz") ? gunzipSync(bytes) : bytes);
  } catch {
    return undefined;
  }
  if (/\.[1-9]$/.test(name)) return manualText(text);
  return /\.html?$/i.test(name) ? pageText(text) : text;
}

/** A manual page without its commands to the typesetter. */
function manualText(roff: string): string {
  return roff
    .split("\n")
    .filter(
      (line) =>
        !/^['.](\\"|TH|so|de|ie?f?|el|nr|ds|ad|nh|hy|ne|ll|rm|ft|RS|RE|sp|in|ta|TS|TE|nf|fi|PP|P$|[\s.\\])/.test(line),
    )
    .map((line) =>
      line
        .replace(/^[.'](SH|Sh|SS|Ss)\s*/, "\n")
        .replace(/^[.'][A-Za-z]{1,2}\b\s?/, "")
        .replaceAll('"', ""),
    )
    .join("\n")
    .replace(/\\[ ~0|^/]/g, " ")
    .replace(/\\[,/]|\\m\[\w*\]|\\[wvh]'[^']*'/g, "")
    .replace(/\\f(\[[^\]]*\]|.)|\\s[+-]?\d|\\&/g, "")
    .replace(/\\\((aq|cq|oq)/g, "'")
    .replace(/\\\((lq|rq|dq)/g, '"')
    .replace(/\\[-e]/g, (found) => (found === "\\e" ? "\\" : "-"))
    .replace(/\\\(..|\\\*\(..|\\\*.|\\\[[^\]]*\]/g, " ");
}

const entities: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', nbsp: " ", "#39": "'" };

function pageText(html: string): string {
  return html
    .replace(/<(script|style|head)\b[\s\S]*?<\/\1>/gi, "")
    .replace(/<(p|div|h\d|li|tr|table|pre|br|dt|dd)\b[^>]*>/gi, "\n\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&(lt|gt|amp|quot|nbsp|#39);/g, (_, name: string) => entities[name] ?? " ");
}

/** The paragraphs that are new, joined to parts; none if they are too little of the text. */
function newParts(text: string, seen: Set<string>): string[] {
  const paragraphs = text
    .replace(/[ \t\r]+$/gm, "")
    .split(/\n{2,}/)
    .filter((paragraph) => paragraph.trim() !== "");
  const kept = paragraphs.filter((paragraph) => {
    if (paragraph.length < 40) return true;
    const key = createHash("md5")
      .update(paragraph.replace(/[\W\d_]+/g, ""))
      .digest("base64");
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  const length = kept.reduce((sum, paragraph) => sum + paragraph.length, 0);
  if (length < leastBytes || length < leastKeptShare * text.length) return [];
  const parts: string[] = [];
  for (const paragraph of kept) {
    const joined = `${parts.at(-1)}\n\n${paragraph}`;
    if (parts.length > 0 && joined.length <= mostPartCharacters) parts[parts.length - 1] = joined;
    else parts.push(paragraph);
  }
  return parts;
}

const [target, ...folders] = process.argv.slice(2);
if (target === undefined) throw new Error("no file was named: node scripts/gather-texts.ts texts.jsonl [FOLDER …]");
const out = openSync(target, "w");
const seen = new Set<string>();
let [parts, characters] = [0, 0];
for (const folder of folders.length > 0 ? folders : usualFolders) {
  const before = characters;
  for (const file of filesUnder(folder)) {
    const text = textOf(file);
    for (const part of text === undefined ? [] : newParts(text, seen)) {
      writeSync(out, `${JSON.stringify({ text: part, source: file })}\n`);
      parts++;
      characters += part.length;
    }
  }
  process.stdout.write(`${folder}: ${((characters - before) / 1e6).toFixed(1)} million characters\n`);
}
closeSync(out);
process.stdout.write(`${target}: ${parts} texts, ${(characters / 1e6).toFixed(1)} million characters\n`);
