import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { z } from "zod";
import { makeRunConfig } from "../src/base/config.ts";
import { exitCodes, RookeryError } from "../src/base/errors.ts";
import { rookeryVersion } from "../src/base/version.ts";
import { type Command, defineCommand } from "../src/cli/command.ts";
import { type CommandEntry, commandTable } from "../src/cli/commands.ts";
import { cliMarkdown, errorsMarkdown } from "../src/cli/docs.ts";
import { flagsOf } from "../src/cli/flags.ts";
import { main } from "../src/cli/main.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "rookery-cli-"));
after(() => rmSync(folder, { recursive: true }));

const cook = defineCommand({
  schema: z.strictObject({
    dish: z.string().describe("what to cook").meta({ valueName: "DISH" }),
    spices: z.array(z.string()).default([]).describe("what to add"),
    minutes: z.int().min(1).default(10).describe("how long"),
    lid: z.boolean().default(true).describe("cover the pot"),
    heat: z.enum(["low", "high"]).default("low").describe("how hot"),
    timer: z
      .union([z.boolean(), z.int().min(0)])
      .default(false)
      .describe("rings")
      .meta({ valueName: "SECONDS" }),
    pot: z.strictObject({ liters: z.number().default(3).describe("its size") }).prefault({}),
  }),
  positionals: ["dish"],
  examples: [{ line: "rookery cook soup", purpose: "a soup" }],
  preset: (values) =>
    values.dish === "stew" ? { name: "preset stew", values: { minutes: 90, heat: "high" } } : undefined,
  run(options, { onEvent }, io) {
    onEvent?.({ type: "warning", message: "hot\u001b[31m" });
    onEvent?.({ type: "note", message: "stirring" });
    io.write("smells good\n");
    if (options.dish === "bug") throw new TypeError("broken spoon");
    if (options.dish === "gate") throw new RookeryError("NON_FINITE", "it burns", "use less\nheat");
    return options;
  },
  describe: (options) => [`${options.dish} for ${options.minutes} minutes`],
});

const pack = defineCommand({
  schema: z.strictObject({
    data: z.array(z.string()).default([]).describe("files"),
    name: z.string().default("x").describe("name"),
  }),
  examples: [{ line: "rookery box pack --data a b", purpose: "two files" }],
  run: (options) => options,
  describe: (options) => options.data,
});

const entry = (name: string, command: Command): CommandEntry => ({
  name,
  summary: `to ${name}`,
  load: async () => ({ command }),
});
const table = [entry("cook", cook), entry("box pack", pack)];

async function run(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: "", stderr: "" };
  const record = (name: "stdout" | "stderr") => ({
    write(text: string) {
      output[name] += text;
    },
  });
  const shell = {
    stdout: record("stdout"),
    stderr: record("stderr"),
    environment: {},
    signal: new AbortController().signal,
  };
  const code = await main(words, { ...shell, stdin: (async function* () {})() }, table);
  return { code, ...output };
}

test("flags win over --set, --set over the file, the file over the preset, the preset over defaults", async () => {
  const file = join(folder, "cook.yaml");
  writeFileSync(file, "minutes: 20\nlid: false\npot:\n  liters: 5\n");
  const cooked = async (...words: string[]) => JSON.parse((await run("cook", ...words, "--json")).stdout);
  assert.equal((await cooked("soup")).minutes, 10);
  assert.equal((await cooked("stew")).minutes, 90);
  assert.equal((await cooked("stew")).heat, "high");
  assert.equal((await cooked("stew", "--config", file)).minutes, 20);
  assert.deepEqual((await cooked("stew", "--config", file)).pot, { liters: 5 });
  assert.equal((await cooked("stew", "--set", "minutes=30", "--config", file)).minutes, 30);
  assert.equal((await cooked("--minutes=40", "--set", "minutes=30", "stew", "--config", file)).minutes, 40);
  assert.equal((await cooked("soup", "--config", file)).lid, false);
  assert.equal((await cooked("soup", "--config", file, "--lid")).lid, true);
  assert.equal((await cooked("soup", "--no-lid")).lid, false);
  assert.equal((await cooked("soup", "--set", "pot.liters=1.5")).pot.liters, 1.5);
});

test("a switch that may be given a number takes the number behind it, and no other word", async () => {
  const timerOf = async (...words: string[]) => JSON.parse((await run("cook", ...words, "--json")).stdout).timer;
  assert.equal(await timerOf("soup"), false);
  assert.equal(await timerOf("--timer", "soup"), true);
  assert.equal(await timerOf("--timer", "90", "soup"), 90);
  assert.equal(await timerOf("soup", "--timer=90"), 90);
  assert.equal(await timerOf("--timer", "--lid", "soup"), true);
  assert.equal(await timerOf("soup", "--no-timer"), false);
  assert.match((await run("cook", "soup", "--timer=late")).stderr, /--timer is "late"/);
  assert.match((await run("cook", "--help")).stdout, /--timer \[SECONDS\]/);
});

test("a run's own config.json is a valid --config", async () => {
  const options = JSON.parse((await run("cook", "stew", "--spices", "salt", "--json")).stdout);
  const { format, rookeryVersion: version, ...values } = options;
  assert.equal(format, "rookery-cook/1");
  assert.equal(version, rookeryVersion);
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(makeRunConfig("cook", values)));
  assert.deepEqual(JSON.parse((await run("cook", "--config", file, "--json")).stdout), options);
});

test("lists take a flag again, and many words where there are no positionals", async () => {
  assert.match(
    (await run("cook", "soup", "--spices", "salt", "--spices", "dill", "--json")).stdout,
    /\["salt","dill"\]/,
  );
  assert.equal((await run("box", "pack", "--data", "a", "b", "--name", "n", "--data", "c")).stdout, "a\nb\nc\n");
  assert.match((await run("box", "pack", "--name", "n", "b")).stderr, /unexpected "b"/);
});

test("words are for people, --json is one object; events go to stderr", async () => {
  const words = await run("cook", "soup");
  assert.equal(words.stdout, "smells good\nsoup for 10 minutes\n");
  assert.equal(words.stderr, "warning: hot�[31m\nstirring\n");
  const json = await run("cook", "soup", "--json");
  assert.equal(json.stdout.trim().split("\n").length, 1);
  assert.equal(JSON.parse(json.stdout).dish, "soup");
  assert.deepEqual(JSON.parse(json.stderr), { format: "rookery-warning/1", rookeryVersion, warning: "hot\u001b[31m" });
});

test("a mistake is one line with the nearest name, and exit code 2", async () => {
  const cases: [words: string[], line: RegExp][] = [
    [["cok"], /^rookery: unknown command "cok"; did you mean "cook"\?$/],
    [["box", "pakc"], /^rookery: unknown command "box pakc"; did you mean "box pack"\?$/],
    [["--lid"], /^rookery: unknown option --lid; a command comes first/],
    [["cook", "soup", "--minuts", "3"], /^rookery: unknown option --minuts; did you mean "--minutes"\?$/],
    [["cook", "soup", "--no-lit"], /^rookery: unknown option --no-lit; did you mean "--no-lid"\?$/],
    [
      ["cook", "soup", "--set", "pot.litres=1"],
      /^rookery: unknown key "pot.litres" in --set; did you mean "liters"\?$/,
    ],
    [["cook", "soup", "--minutes", "0"], /^rookery: --minutes is 0; give an integer of at least 1$/],
    [["cook", "soup", "--minutes", "--json"], /"code":"INVALID_OPTION","message":"--minutes needs a value"/],
    [["cook", "soup", "--minutes"], /^rookery: --minutes needs a value; write --minutes VALUE$/],
    [["cook", "soup", "--lid=maybe"], /^rookery: --lid is "maybe"; write --lid or --no-lid$/],
    [["cook", "soup", "--heat", "hihg"], /^rookery: --heat is "hihg"; give low or high$/],
    [["cook"], /^rookery: DISH is missing; give text$/],
    [["cook", "a", "b"], /^rookery: unexpected "b"; this command takes DISH$/],
    [["cook", "soup", "--config", join(folder, "none.yaml")], /^rookery: cannot read .*none\.yaml/],
  ];
  for (const [words, line] of cases) {
    const { code, stdout, stderr } = await run(...words);
    assert.match(stderr.trimEnd(), line);
    assert.equal(stderr.split("\n").length, 2, stderr);
    assert.equal(stdout, "");
    assert.equal(code, exitCodes.userMistake, words.join(" "));
  }
});

test("errors under --json have a shape; our own faults keep their stack", async () => {
  const gate = await run("cook", "gate", "--json");
  assert.equal(gate.code, exitCodes.stoppedByGuard);
  assert.deepEqual(JSON.parse(gate.stderr.trim().split("\n").at(-1)!), {
    format: "rookery-error/1",
    rookeryVersion,
    error: { code: "NON_FINITE", message: "it burns", hint: "use less\nheat" },
  });
  assert.match((await run("cook", "gate")).stderr, /^rookery: it burns; use less heat$/m);
  const bug = await run("cook", "bug");
  assert.equal(bug.code, exitCodes.ourFault);
  assert.match(bug.stderr, /fault of Rookery[\s\S]*TypeError: broken spoon\n\s+at /);
  assert.match((await run("cook", "bug", "--json")).stderr, /"code":"INTERNAL".*"stack":/);
});

test("help shows every flag, its default, and an example", async () => {
  const { stdout, code } = await run("cook", "--help");
  assert.equal(code, 0);
  for (const text of [
    "Usage: rookery cook DISH [options]",
    "--minutes N",
    "default: 10",
    "--no-lid",
    "low|high",
    "pot.liters",
    "rookery cook soup",
  ]) {
    assert.ok(stdout.includes(text), text);
  }
  assert.match((await run("--help")).stdout, /cook +to cook/);
  assert.match((await run("box")).stdout, /box pack +to box pack/);
});

test("every command has an example that parses, and describes all of its flags", async () => {
  for (const { name, load } of commandTable) {
    const { command } = await load();
    assert.ok(command.examples.length > 0, name);
    for (const { line } of command.examples) assert.ok(line.includes(`rookery ${name}`), `${name}: ${line}`);
    for (const flag of flagsOf(command.schema, command.positionals))
      assert.ok(flag.schema.description, `${name} --${flag.name}`);
  }
});

test("docs/cli.md and docs/errors.md are fresh: npm run docs writes them", async () => {
  const page = (name: string) => readFileSync(join(root, "docs", name), "utf8");
  assert.equal(page("cli.md"), await cliMarkdown());
  assert.equal(page("errors.md"), errorsMarkdown());
});

const bin = join(root, "bin", "rookery.js");
const start = (script: string, args: string[], preload: string[] = []) =>
  spawnSync(process.execPath, [...preload, script, ...args], { encoding: "utf8" });

test("bin/rookery.js runs, also through a symlink", () => {
  const link = join(folder, "rookery");
  symlinkSync(bin, link);
  for (const script of [bin, link]) {
    const { stdout, status } = start(script, ["--version"]);
    assert.equal(stdout, `${rookeryVersion}\n`);
    assert.equal(status, 0);
  }
  assert.equal(start(bin, ["no-such-command"]).status, exitCodes.userMistake);
});

test("bin/rookery.js says in one line that Node is too old, and how to mend it", () => {
  const old = `data:text/javascript,Object.defineProperty(process, "versions", { value: { node: "20.1.0" } })`;
  const clone = start(bin, ["--version"], ["--import", old]);
  assert.equal(clone.status, exitCodes.userMistake);
  assert.match(
    clone.stderr,
    /^rookery: needs Node 24 or newer, found 20\.1\.0; run `npm ci` once, then `npx rookery` .*\n$/,
  );
  mkdirSync(join(folder, "package", "bin"), { recursive: true });
  cpSync(bin, join(folder, "package", "bin", "rookery.mjs"));
  const installed = start(join(folder, "package", "bin", "rookery.mjs"), [], ["--import", old]);
  assert.match(installed.stderr, /found 20\.1\.0; install Node 24 or newer .*\n$/);
});

/** A process of the command line with one command, which waits until it is asked to stop. */
function startWaiting(body: string) {
  const program = `
    import { z } from "zod";
    import { defineCommand } from "./src/cli/command.ts";
    import { runFromShell } from "./src/cli/main.ts";
    const command = defineCommand({
      schema: z.strictObject({}),
      examples: [{ line: "rookery wait", purpose: "" }],
      async run(options, { signal }) {
        process.stdout.write("ready\\n");
        ${body}
      },
      describe: () => ["saved"],
    });
    await runFromShell([{ name: "wait", summary: "", load: async () => ({ command }) }]);`;
  // A process that fails to stop is ended, so that the test fails instead of waiting.
  const options = { cwd: root, timeout: 60_000, killSignal: "SIGKILL" } as const;
  return spawn(process.execPath, ["--input-type=module", "--eval", program, "rookery", "wait"], options);
}

function collect(child: ReturnType<typeof startWaiting>, onText: (text: string) => void) {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      onText(text);
    });
  }
  return new Promise<typeof output & { code: number | null; signal: string | null }>((resolve) => {
    child.on("close", (code, signal) => resolve({ ...output, code, signal }));
  });
}

test("the first Ctrl-C asks to stop, the work is saved, and the exit code is 130", async () => {
  const child = startWaiting(`
    const alive = setInterval(() => {}, 1000);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    clearInterval(alive);
    return {};`);
  const result = await collect(child, (text) => text.includes("ready") && child.kill("SIGINT"));
  assert.match(result.stderr, /stopping as soon as the work is saved/);
  assert.equal(result.stdout, "ready\nsaved\n");
  assert.equal(result.code, exitCodes.interrupted);
});

test("a command that was interrupted by its signal exits with 130", async () => {
  const child = startWaiting(`
    const { setTimeout: wait } = await import("node:timers/promises");
    await wait(3_600_000, undefined, { signal });`);
  const result = await collect(child, (text) => text.includes("ready") && child.kill("SIGINT"));
  assert.match(result.stderr, /rookery: stopped; run the same command again/);
  assert.equal(result.code, exitCodes.interrupted);
});

test("the second Ctrl-C ends the process at once", async () => {
  const child = startWaiting("await new Promise(() => setInterval(() => {}, 1000));");
  const result = await collect(
    child,
    (text) => (text.includes("ready") || text.includes("stopping")) && child.kill("SIGINT"),
  );
  assert.equal(result.signal, "SIGINT");
});
