import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { test } from "node:test";

const source = join(import.meta.dirname, "..", "src");

/** The floors of the house: a room imports only from floors below its own. `kernels` stands on `base`. */
const floors = [
  ["base", "kernels"],
  ["tensor", "text", "endpoint", "jobs", "sandbox"],
  ["model", "data", "formats", "tasks", "review"],
  ["interop"],
  ["train", "engine", "quant"],
  // bench trains what it measures, and serving or reporting may want its figures
  ["align", "synth", "eval", "scaling", "bench"],
  ["serve", "report"],
  ["cli"],
];

/** Below cli/ nothing touches the process. The kernel loader alone reads ROOKERY_ISA, CC and where the cache lies. */
const readsEnvironment = ["kernels/load.ts", "kernels/build.ts"];

type Source = { path: string; room: string; text: string; code: string };

const files: Source[] = globSync("**/*.ts", { cwd: source })
  .map((path) => path.replaceAll("\\", "/"))
  .sort()
  .map((path) => {
    const text = readFileSync(join(source, path), "utf8");
    return { path, room: path.includes("/") ? path.split("/")[0]! : "", text, code: withoutComments(text) };
  });

const production = files.filter((file) => !file.path.endsWith(".test.ts"));

/** Blanks comments and leaves strings, so that imports stay and prose does not count as code. */
function withoutComments(text: string): string {
  const pattern = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[\s\S]*?\*\/|(?<![:\\])\/\/[^\n]*/g;
  return text.replace(pattern, (found) => (found.startsWith("/") ? " " : found));
}

/** The specifiers of static and dynamic imports, of re-exports, and of `import("…")` types. */
export function importsOf(code: string): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)(["'])([^"'\n]+)\1/gm;
  return [...code.matchAll(pattern)].map((match) => match[2]!);
}

function floorOf(room: string): number {
  return floors.findIndex((rooms) => rooms.includes(room));
}

/** What is wrong with an import, or undefined. */
function importFault(file: Source, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  if (!/\.(ts|json)$/.test(specifier))
    return `imports ${specifier}, which Node cannot run: relative imports end in .ts`;
  const target = posix.normalize(posix.join(posix.dirname(file.path), specifier));
  if (target.startsWith("..")) return `imports ${specifier} from outside src/`;
  if (target.endsWith(".test.ts")) return `imports the test ${target}`;
  const room = target.split("/")[0]!;
  // src/index.ts and its like are the public face: they stand above every room, and no room imports them.
  if (file.room === "") return undefined;
  if (!target.includes("/")) return `imports the facade ${target}`;
  if (room === file.room) return undefined;
  const isKernelsOnBase = file.room === "kernels" && room === "base";
  if (floorOf(room) < floorOf(file.room) || isKernelsOnBase) return undefined;
  return `imports ${target}, which is no floor below ${file.room}/`;
}

function faults(of: readonly Source[], find: (file: Source) => readonly string[]): string[] {
  return of.flatMap((file) => find(file).map((fault) => `src/${file.path}: ${fault}`));
}

test("the check of imports sees every form of import", () => {
  const code = [
    'import { a } from "./a.ts";',
    'import "./b.ts";',
    'import type { C } from "./c.ts";',
    'export * from "./d.ts";',
    'const e = await import("./e.ts");',
    'type F = import("./f.ts").F;',
    "import {\n  g,\n} from './g.ts';",
    '// import "./comment.ts";',
    '/* from "./comment.ts" */',
  ].join("\n");
  assert.deepEqual(
    importsOf(withoutComments(code)),
    ["a", "b", "c", "d", "e", "f", "g"].map((name) => `./${name}.ts`),
  );
});

test("every room has a floor", () => {
  const rooms = [...new Set(files.map((file) => file.room))].filter((room) => room !== "");
  assert.deepEqual(
    rooms.filter((room) => floorOf(room) < 0),
    [],
  );
});

test("imports go down the floors, and end in .ts", () => {
  const found = faults(production, (file) =>
    importsOf(file.code).flatMap((specifier) => importFault(file, specifier) ?? []),
  );
  assert.deepEqual(found, []);
});

test("tests import no .js, and nothing that Node cannot run", () => {
  const tests = files.filter((file) => file.path.endsWith(".test.ts"));
  const found = faults(tests, (file) =>
    importsOf(file.code).filter((one) => one.startsWith(".") && !/\.(ts|json)$/.test(one)),
  );
  assert.deepEqual(found, []);
});

test("below cli/ nothing prints, exits, or reads argv, cwd or the environment", () => {
  const forbidden = [
    /\bconsole\s*\./,
    /\bprocess\s*\.\s*(?:exit|argv|cwd|env|stdout|stderr|stdin)\b/,
    /\bprocess\.exitCode\b/,
    /["'](?:node:)?process["']/,
  ];
  const below = production.filter((file) => file.room !== "cli");
  const found = faults(below, (file) =>
    forbidden
      .flatMap((pattern) => pattern.exec(file.code)?.[0] ?? [])
      .filter((use) => !(use === "process.env" && readsEnvironment.includes(file.path))),
  );
  assert.deepEqual(found, []);
});

test("koffi is called by the kernels alone", () => {
  const found = faults(production, (file) =>
    file.room === "kernels" ? [] : importsOf(file.code).filter((specifier) => specifier === "koffi"),
  );
  assert.deepEqual(found, []);
});

test("no file is left with work to do", () => {
  const marks = new RegExp(`\\b(?:${["TO", "DO"].join("")}|${["FIX", "ME"].join("")}|${["XX", "X"].join("")})\\b`);
  assert.deepEqual(
    faults(files, (file) => marks.exec(file.text) ?? []),
    [],
  );
});

test("files hold one thing each", () => {
  const most = 500;
  const found = faults(production, (file) => {
    const lines = file.text.split("\n").length;
    return lines > most ? [`has ${lines} lines`] : [];
  });
  assert.deepEqual(found, []);
});
