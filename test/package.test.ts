import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { DataReport } from "../src/data/inspect.ts";
import { readDictionary } from "../src/tasks/families/dictionary.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "rookery-package-"));
const installed = join(folder, "node_modules", "rookery");
after(() => rmSync(folder, { recursive: true }));

/** The names that the package exports, an entry point each. A name leaves this list only with a new major version. */
const exportedNames: Record<string, string[]> = {
  ".": [
    ...["RookeryError", "errorCodes", "exitCodes", "rookeryVersion"],
    ...["account", "modelConfigSchema", "presets"],
    ...["dataOptionsSchema", "inspectData", "Tokenizer"],
    ...["DocumentReader", "documentText", "readDocument"],
    ...["createApp", "loadEngine", "train", "trainOptionsSchema"],
    ...["plan", "planOptionsSchema", "quantize", "quantizeOptionsSchema"],
  ],
  "./train": ["train", "trainOptionsSchema"],
  "./align": [
    ...["clean", "cleanOptionsSchema", "dpo", "dpoOptionsSchema"],
    ...["reward", "rewardOptionsSchema", "sft", "sftOptionsSchema"],
  ],
  "./engine": [
    ...["Engine", "engineOptionsSchema", "Execution", "Generation", "generate"],
    ...["LoadedEngine", "loadEngine", "LocalEngine", "settleOptions", "startEngine", "stopTokenIds"],
  ],
  "./eval": [
    ...["cacheCompressionOptionsSchema", "compareCaches", "compareResults", "defineTask", "evalCompareOptionsSchema"],
    ...["evalRunOptionsSchema", "evaluate", "readItems", "readSummary", "taskNames"],
  ],
  "./interop": [
    ...["exportGguf", "exportModel", "inspectDirectory", "loadModel", "loadTransformer", "readModelDirectory"],
    "resolveModel",
  ],
  "./scaling": [
    ...[
      "countComputeLaw",
      "familyMember",
      "fitScalingLaw",
      "laws",
      "measureNoise",
      "plan",
      "planOptionsSchema",
      "predict",
      "readPoints",
      "readTable",
    ],
    ...["resolveLaw", "runSweep", "simpleNoiseScale", "sweepOptionsSchema", "syntheticPoints", "tableColumns"],
    "writeTable",
  ],
  "./serve": ["createApp", "createPages", "createTrainingRoutes", "listen", "serveModel"],
  "./synth": ["readRecords", "refilter", "refilterOptionsSchema", "synthOptionsSchema", "synthesize"],
};

const examples = readdirSync(join(root, "examples"));

type Manifest = { dependencies: Record<string, string>; exports: Record<string, unknown> };
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

// The scripts of npm, and `npx`, find the Node that runs this test, and not an older one of the system.
const environment = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ""}` };

function run(command: string, words: string[], cwd: string): string {
  const child = spawnSync(command, words, { cwd, encoding: "utf8", env: environment });
  assert.equal(child.status, 0, `${command} ${words.join(" ")}\n${child.stdout}\n${child.stderr}`);
  return child.stdout;
}

const rookery = (...words: string[]) => run(process.execPath, [join(installed, "bin", "rookery.js"), ...words], folder);

before(() => {
  run("npm", ["pack", "--silent", "--pack-destination", folder], root);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball, "npm pack wrote no tarball");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"], folder);
  // What `npm install` would fetch is here already.
  for (const name of Object.keys(manifest.dependencies)) {
    const target = join(folder, "node_modules", name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(root, "node_modules", name), target, "junction");
  }
});

test("the package holds what runs, and nothing else", () => {
  const files = globSync("**/*", { cwd: installed });
  assert.deepEqual(
    files.filter((path) =>
      /\.test\.|^(?!examples\/).*(?<!\.d)\.ts$|^(src|test|scripts|runtime|bench)(\/|$)/.test(path),
    ),
    [],
  );
  const pages = [
    "dist/web/chat.html",
    "dist/web/training.html",
    "dist/web/assets/chat.js",
    "dist/web/assets/pdf-worker.js",
    "dist/texts/wordnet/data.noun.zst",
  ];
  for (const path of ["LICENSE", "README.md", "SECURITY.md", "dist/cli/main.js", "dist/index.d.ts", ...pages]) {
    assert.ok(files.includes(path), path);
  }
  const native = (folder: string) => globSync("*.{c,h}", { cwd: join(folder, "kernels") }).sort();
  assert.deepEqual(native(join(installed, "dist")), native(join(root, "src")));
});

test("an installed package serves its pages without the tools that bundle them", () => {
  const program = `
    const { createPages } = await import(${JSON.stringify(pathToFileURL(join(installed, "dist/serve/pages.js")).href)});
    const app = createPages();
    const statuses = await Promise.all(["/", "/assets/chat.js"].map(async (path) => (await app.request(path)).status));
    console.log(statuses.join(" "));`;
  assert.equal(run(process.execPath, ["--input-type=module", "--eval", program], folder), "200 200\n");
});

test("no compiled module reaches for a .ts file, which the package does not have", () => {
  const modules = globSync("**/*.js", { cwd: join(installed, "dist") });
  const reaching = modules.filter((path) =>
    /["'`]\.{1,2}\/[^"'`\s]+(?<!\.d)\.ts["'`]/.test(readFileSync(join(installed, "dist", path), "utf8")),
  );
  assert.deepEqual(reaching, []);
});

test("the installed command runs, and finds the sources of its kernels", () => {
  assert.match(rookery("--help"), /Usage: rookery/);
  const info = JSON.parse(rookery("info", "hunyuan-large", "--json")) as { parameters: { total: number } };
  assert.equal((info.parameters.total / 1e9).toFixed(1), "388.7");
  const doctor = spawnSync(process.execPath, [join(installed, "bin", "rookery.js"), "doctor", "--json"], {
    cwd: folder,
    encoding: "utf8",
  });
  const found = JSON.parse(doctor.stdout) as { compiler: string | null; kernels: { used: string | null } };
  if (found.compiler !== null) assert.notEqual(found.kernels.used, null);
});

test("an installed package has texts to begin with, and questions over its dictionary", () => {
  const report = JSON.parse(rookery("data", "inspect", "starter", "--json")) as DataReport;
  const characters = report.sources.map(({ name, read }) => [name, read.characters > 1e6]);
  assert.deepEqual(characters, [
    ["sotu", true],
    ["moby-dick", true],
    ["wordnet", true],
  ]);
  assert.deepEqual([report.dropped, report.problems], [{}, {}]);
  const program = `
    const { readDictionary } = await import(${JSON.stringify(pathToFileURL(join(installed, "dist/tasks/families/dictionary.js")).href)});
    console.log(readDictionary().length);`;
  const words = run(process.execPath, ["--input-type=module", "--eval", program], folder);
  assert.equal(Number(words), readDictionary()?.length);
});

test("exactly the listed names are exported", () => {
  assert.deepEqual(Object.keys(manifest.exports), Object.keys(exportedNames));
  for (const [entry, names] of Object.entries(exportedNames)) {
    const specifier = `rookery${entry.slice(1)}`;
    const program = `console.log(JSON.stringify(Object.keys(await import("${specifier}")).sort()))`;
    const found: unknown = JSON.parse(run(process.execPath, ["--input-type=module", "--eval", program], folder));
    assert.deepEqual(found, [...names].sort(), specifier);
  }
});

const tsc = join(root, "node_modules", "typescript", "bin", "tsc");

/** Checks programs of the folder as somebody's own project does. */
function typeCheck(files: string[], more: Record<string, unknown>): void {
  const options = { target: "esnext", strict: true, noEmit: true, skipLibCheck: false, ...more };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files }));
  run(process.execPath, [tsc, "-p", folder], folder);
}

test("a program that imports the package type-checks under nodenext", () => {
  const program = `
    import { train, type TrainResult } from "rookery/train";
    import { account, errorCodes, presets, RookeryError, Tokenizer, type CommandContext, type ErrorCode } from "rookery";

    const context: CommandContext = { onEvent: (event) => { if (event.type === "warning") report(event.message); } };
    function report(text: string): void {
      const code: ErrorCode = new RookeryError("INVALID_OPTION", text, "mend it").code;
      console.log(errorCodes[code], account(presets.nano).parameters.activated);
    }
    context.onEvent?.({ type: "warning", message: "mind" });
    const result: Promise<TrainResult> = train({ data: ["texts"], minutes: 1 }, { onEvent: (event) => report(event.type) });
    const tokenizer: Promise<Tokenizer> = Tokenizer.load("folder");
    // @ts-expect-error there is no such code
    new RookeryError("NO_SUCH_CODE", "", tokenizer, result);
  `;
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "program.ts"), program);
  typeCheck(["program.ts"], { module: "nodenext", types: [] });
});

/** Programs in the documents, each as a file of its own; a block after `<!-- not checked -->` is left out. */
function writeDocumentPrograms(): string[] {
  const pages = globSync(["README*.md", "docs/*.md"], { cwd: installed }).sort();
  return pages.flatMap((page) => {
    const text = readFileSync(join(installed, page), "utf8");
    return [...text.matchAll(/(<!-- not checked -->\s*)?```ts\n([\s\S]*?)```/g)].flatMap(
      ([, isLeftOut, program], index) => {
        if (isLeftOut) return [];
        const file = `${page.replaceAll(/\W/g, "-")}-${index}.ts`;
        writeFileSync(join(folder, file), program!);
        return [file];
      },
    );
  });
}

test("the examples and the programs of the documents type-check, and each example is short", () => {
  assert.equal(examples.length, 8);
  for (const name of examples) {
    const text = readFileSync(join(installed, "examples", name), "utf8");
    assert.ok(text.split("\n").length < 40, name);
    writeFileSync(join(folder, name), text);
  }
  const shared = { types: ["node"], typeRoots: [join(root, "node_modules", "@types")], skipLibCheck: true };
  for (const client of ["ai", "@ai-sdk", "openai"]) {
    symlinkSync(join(root, "node_modules", client), join(folder, "node_modules", client), "junction");
  }
  const programs = writeDocumentPrograms();
  assert.ok(programs.length >= 8);
  typeCheck([...examples, ...programs], { ...shared, module: "nodenext" });
  typeCheck(examples, { ...shared, module: "esnext", moduleResolution: "bundler" });
});

test("an import loads nothing native, no database, no reader, no kernels and no YAML, and prints nothing", () => {
  const heavy =
    "koffi|@duckdb|eld|mammoth|unpdf|linkedom|@mozilla|@huggingface|@mlc-ai|hyparquet|tokenizers|hono/node-server|yaml";
  const program = `
    import { registerHooks } from "node:module";
    const loaded = new Set();
    registerHooks({ load(url, context, next) { loaded.add(url); return next(url, context); } });
    await import("rookery");
    const heavy = new RegExp("node_modules/(" + ${JSON.stringify(heavy)} + ")/|/dist/(kernels|tensor|formats)/|[.]node$");
    console.log(JSON.stringify([...loaded].filter((url) => heavy.test(url))));`;
  assert.equal(run(process.execPath, ["--input-type=module", "--eval", program], folder), "[]\n");
});

describe("the examples run", () => {
  const example = (name: string, ...words: string[]) => run(process.execPath, [`${name}.ts`, ...words], folder);

  before(() => {
    // as they are, but on short rows, and what begins anew with a model of a hundredth of nano's size
    const rows = "sequenceLength: 64, batchTokens: 256";
    const tiny = "vocabularySize: 400, hiddenSize: 64, intermediateSize: 64, headDim: 16, numHiddenLayers: 2";
    const texts = new Map(examples.map((name) => [name, readFileSync(join(installed, "examples", name), "utf8")]));
    for (const name of ["train.ts", "continue.ts", "data-source.ts", "expert-load.ts"]) {
      const text = texts.get(name)!;
      const more = text.includes("from: model") ? rows : `${rows}, model: { ${tiny} }`;
      const smaller = text.replace(/(minutes: Number\(minutes\)|steps: Number\(steps\))/, `$1, ${more}`);
      assert.notEqual(smaller, text, name);
      texts.set(name, smaller);
    }
    for (const [name, text] of texts) writeFileSync(join(folder, name), text);
    mkdirSync(join(folder, "notes"));
    for (let note = 0; note < 40; note++) {
      const lines = Array.from(
        { length: 30 },
        (_, line) => `Note ${note}: penguin ${line * 7} met 企鹅 ${note ^ line}.`,
      );
      writeFileSync(join(folder, "notes", `${note}.txt`), `${lines.join("\n")}\n`);
    }
  });

  test("a plan", () => assert.match(example("plan"), /B activated parameters on/));

  test("training, then the model writes, is served and is asked", async () => {
    assert.match(example("train", "notes", "0.02", "small"), /small.model: \d+ tokens, [\d.]+ bits per byte/);
    assert.match(example("generate", "small", "Note 7"), /\d+ tokens: Note 7/);
    // whoever tries it out on a line of the shell: Node hands its flags to threads, and refuses this one there
    const line =
      'import { loadEngine } from "rookery"; await using engine = await loadEngine("small"); console.log(engine.id)';
    assert.equal(run(process.execPath, ["--input-type=module", "--eval", line], folder), "small\n");
    assert.match(example("eval-task", "small"), /sums: 16 questions/);
    const server = spawn(process.execPath, ["server.ts", "small", "0"], { cwd: folder });
    try {
      const [line] = (await once(server.stdout, "data")) as [Buffer];
      const base = line.toString().trim();
      const models = (await (await fetch(`${base}/models`)).json()) as { data: { id: string }[] };
      assert.equal(models.data[0]?.id, "small");
      server.kill("SIGINT");
      assert.deepEqual(await once(server, "exit"), [0, null]);
    } finally {
      server.kill("SIGKILL");
    }
  });

  test("going on, own data, and the load of experts", () => {
    assert.match(example("continue", "small", "notes", "3"), /bits per byte/);
    assert.match(example("data-source", "notes", "3"), /bits per byte/);
    assert.match(example("expert-load", "notes", "5"), /recycled/);
  });
});
