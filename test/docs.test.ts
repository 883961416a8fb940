import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { commandTable } from "../src/cli/commands.ts";
import { parseWords } from "../src/cli/flags.ts";

const root = join(import.meta.dirname, "..");
const pages = globSync(["*.md", "docs/**/*.md", "bench/**/*.md"], {
  cwd: root,
  exclude: ["**/node_modules/**"],
}).sort();
const readPage = (page: string) => readFileSync(join(root, page), "utf8");

/** What GitHub makes of a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

function anchorsOf(page: string): string[] {
  return [...readPage(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
}

test("every relative link in the documents leads somewhere", () => {
  const broken = pages.flatMap((page) => {
    const text = readPage(page).replaceAll(/```[\s\S]*?```/g, "");
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
      if (/^(https?:|mailto:)/.test(link!)) return [];
      const [file = "", anchor] = link!.split("#");
      const target = file === "" ? page : join(dirname(page), decodeURIComponent(file));
      if (!existsSync(join(root, target))) return [`${page}: ${link}`];
      return anchor && target.endsWith(".md") && !anchorsOf(target).includes(anchor) ? [`${page}: ${link}`] : [];
    });
  });
  assert.deepEqual(broken, []);
});

/** Lines of shell in a page's blocks that call rookery, as words; a block after `<!-- not checked -->` is left out. */
function commandsOf(page: string): string[][] {
  const blocks = readPage(page).matchAll(/(<!-- not checked -->\s*)?```sh\n([\s\S]*?)```/g);
  return [...blocks].flatMap(([, isLeftOut, block]) => {
    if (isLeftOut) return [];
    const lines = block!.replaceAll("\\\n", " ").split("\n");
    return lines.flatMap((line) => {
      const call = /(?:^|\| ?|&& ?)\s*(?:[A-Z_]+=\S+ )*(?:npx )?rookery +([^|&>#]*)/.exec(line);
      if (!call) return [];
      // quotes may hold what would end a command
      const rest = line.slice(call.index + call[0].indexOf("rookery ") + "rookery ".length);
      const words = [...rest.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((found) => found[1] ?? found[2] ?? found[3]!);
      const end = words.findIndex((word) => /^([|&;#]|\d?>|<)/.test(word));
      return [end < 0 ? words : words.slice(0, end)];
    });
  });
}

test("every command in the documents exists and knows its flags", async () => {
  const wrong: string[] = [];
  let checked = 0;
  for (const page of pages) {
    for (const words of commandsOf(page)) {
      if (["--help", "--version", "COMMAND", "…"].includes(words[0]!) || words.includes("[options]")) continue;
      const entry = commandTable.find(({ name }) => name.split(" ").every((part, index) => words[index] === part));
      checked += 1;
      if (entry === undefined) {
        wrong.push(`${page}: rookery ${words.join(" ")}: no such command`);
        continue;
      }
      const { command } = await entry.load();
      // a configuration file of an example is not there to be read
      const given = words.slice(entry.name.split(" ").length);
      const at = given.indexOf("--config");
      const without = at < 0 ? given : given.toSpliced(at, 2);
      try {
        parseWords(without, entry.name, command.schema, command.positionals);
      } catch (error) {
        wrong.push(`${page}: rookery ${words.join(" ")}: ${(error as Error).message}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(checked > 100, `${checked} commands were found`);
});

test("drawings are there, whole, and say what they show", () => {
  const drawings = globSync("docs/inside/*.svg", { cwd: root });
  assert.equal(drawings.length, 4);
  for (const drawing of drawings)
    assert.match(readPage(drawing), /^<svg [^>]*role="img"><title>[^<]+<\/title>[\s\S]*<\/svg>\n$/);
});
