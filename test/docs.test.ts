import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { insideDrawings } from "../scripts/inside-drawings.ts";
import { commandTable } from "../src/cli/commands.ts";
import { parseWords } from "../src/cli/flags.ts";
import { wellFormedElements } from "./well-formed.ts";

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

test("every variable of the environment that is read has its row", () => {
  const read = globSync(["src/**/*.ts", "test/**/*.ts"], { cwd: root }).flatMap((file) => [
    ...readPage(file).matchAll(/(?<!-D|TEST_|\w)ROOKERY_(?!TEST_)[A-Z_]+/g),
  ]);
  const rows = new Set([...readPage("docs/environment.md").matchAll(/`(ROOKERY_[A-Z_]+)`/g)].map(([, name]) => name));
  assert.ok(read.length > 20);
  assert.deepEqual([...new Set(read.map(([name]) => name))].filter((name) => !rows.has(name)).sort(), []);
});

test("every picture is whole, says what it shows, and is dark where its reader wants it dark", () => {
  const pictures = globSync("docs/**/*.svg", { cwd: root });
  assert.ok(pictures.length >= 22, `${pictures.length} pictures`);
  for (const picture of pictures) {
    const svg = readPage(picture);
    assert.equal(wellFormedElements(svg)[0], "svg", picture);
    assert.match(svg, /^<svg [^>]*role="img"(>\s*<title>[^<]+<\/title>| aria-label="[^"]+">)/, picture);
    assert.match(svg, /@media\(prefers-color-scheme:dark\)/, picture);
    // what has no class keeps its color: a white ground, black words
    assert.doesNotMatch(svg, /<(?![^>]*class=)[^>]*(fill|stroke)="#(fff|222|ddd|888)"/, picture);
  }
});

test("the drawings of how it works are those that `npm run docs` makes, and the house has every room", () => {
  const drawings = insideDrawings();
  for (const [name, svg] of drawings) assert.equal(readPage(join("docs", "inside", name)), svg, name);
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of rooms) assert.match(drawings.get("house.svg")!, new RegExp(`\\b${name}\\b`));
});
