import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { makeRunConfig, mergeLayers, parseAssignments, replaceAlternatives, resolveOptions } from "./config.ts";
import { readConfigFile } from "./config-file.ts";
import { type ErrorCode, RookeryError } from "./errors.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-config-"));
after(() => rmSync(folder, { recursive: true }));

const schema = z.strictObject({
  steps: z.int().min(1).default(100),
  learningRate: z.number().positive().default(0.01),
  mode: z.enum(["recycle", "drop", "dropless"]).default("recycle"),
  data: z.array(z.string()).default([]),
  resume: z.boolean().default(false),
  betas: z.tuple([z.number(), z.number()]).default([0.9, 0.95]),
  limit: z.union([z.literal("auto"), z.int()]).default("auto"),
  weights: z.record(z.string(), z.number()).default({}),
  scaling: z
    .discriminatedUnion("type", [
      z.strictObject({ type: z.literal("none") }),
      z.strictObject({ type: z.literal("dynamic"), alpha: z.number() }),
    ])
    .default({ type: "none" }),
  model: z.strictObject({ numLayers: z.int().default(6), hiddenSize: z.int().default(256) }).prefault({}),
});

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function refuses(code: ErrorCode, message: RegExp, hint: RegExp, run: () => unknown): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof RookeryError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.match(error.hint, hint);
    assert.doesNotMatch(error.message + error.hint, /\n/);
    return true;
  });
}

const strings = (values: Record<string, unknown>) => ({ name: "--set", values, areStrings: true });

test("stronger layers win key by key, and lists are replaced", () => {
  const options = resolveOptions(schema, [
    {
      name: "preset nano",
      values: { steps: 1, mode: "drop", data: ["a", "b"], model: { numLayers: 2, hiddenSize: 64 } },
    },
    { name: "run.yaml", values: { steps: 2, data: ["c"], model: { numLayers: 3 } } },
    strings(parseAssignments(["steps=3", "model.numLayers=4"])),
    { name: "flags", values: { steps: "5" }, areStrings: true },
  ]);
  assert.equal(options.steps, 5);
  assert.equal(options.mode, "drop");
  assert.deepEqual(options.data, ["c"]);
  assert.deepEqual(options.model, { numLayers: 4, hiddenSize: 64 });
  assert.equal(options.learningRate, 0.01);
});

test("texts take the types of the schema", () => {
  const options = resolveOptions(schema, [
    strings({
      steps: "1_000",
      learningRate: "3e-4",
      resume: "true",
      betas: "[0.8, 0.9]",
      limit: "12",
      data: "x.txt",
      weights: { a: "0.5" },
      scaling: { type: "dynamic", alpha: "1000" },
    }),
  ]);
  assert.deepEqual(options, {
    ...resolveOptions(schema, []),
    steps: 1000,
    learningRate: 3e-4,
    resume: true,
    betas: [0.8, 0.9],
    limit: 12,
    data: ["x.txt"],
    weights: { a: 0.5 },
    scaling: { type: "dynamic", alpha: 1000 },
  });
  assert.equal(resolveOptions(schema, [strings({ limit: "auto" })]).limit, "auto");
});

test("any number survives the way through text", () => {
  fc.assert(
    fc.property(fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true }), (value) => {
      assert.equal(resolveOptions(schema, [strings({ learningRate: String(value) })]).learningRate, value);
    }),
    { seed: 7, numRuns: 200 },
  );
});

test("unknown keys are errors with the nearest name, at any depth and in any layer", () => {
  const at = (values: Record<string, unknown>) => () => resolveOptions(schema, [{ name: "run.yaml", values }]);
  refuses("UNKNOWN_OPTION", /unknown key "stpes" in run\.yaml/, /did you mean "steps"/, at({ stpes: 1 }));
  refuses("UNKNOWN_OPTION", /"model\.hidden_sise"/, /did you mean "hiddenSize"/, at({ model: { hidden_sise: 1 } }));
  refuses("UNKNOWN_OPTION", /"scaling\.alfa"/, /did you mean "alpha"/, at({ scaling: { type: "dynamic", alfa: 1 } }));
  refuses("UNKNOWN_OPTION", /"scaling\.alpha"/, /known: type/, at({ scaling: { type: "none", alpha: 1 } }));
  refuses("UNKNOWN_OPTION", /"__proto__"/, /./, at(JSON.parse('{"__proto__": {"steps": 1}}')));
});

test("a refused value is named with its source and with what is allowed", () => {
  const flags = (values: Record<string, unknown>) => () =>
    resolveOptions(schema, [{ name: "flags", values, areStrings: true, nameKey: (key) => `--${key}` }]);
  refuses("INVALID_OPTION", /^--steps is 0$/, /an integer of at least 1/, flags({ steps: "0" }));
  refuses("INVALID_OPTION", /^--steps is "many"$/, /an integer of at least 1/, flags({ steps: "many" }));
  refuses("INVALID_OPTION", /^--mode is "dropp"$/, /recycle, drop or dropless/, flags({ mode: "dropp" }));
  refuses("INVALID_OPTION", /^--limit is "x"$/, /auto or an integer/, flags({ limit: "x" }));
  refuses("INVALID_OPTION", /^--scaling.type is "y"$/, /none or dynamic/, flags({ scaling: { type: "y" } }));
  refuses("INVALID_OPTION", /^"model.numLayers" in run.yaml is "x"/, /an integer/, () =>
    resolveOptions(schema, [{ name: "run.yaml", values: { model: { numLayers: "x" } } }, strings({})]),
  );
});

test("a number in the short form of papers is told as a number, and what overflows is no null", () => {
  const given = (learningRate: string) => () => resolveOptions(schema, [strings({ learningRate })]);
  refuses("INVALID_OPTION", /is "52B"/, /above 0: 52e9 for 52B$/, given("52B"));
  refuses("INVALID_OPTION", /is "7.5T"/, /: 7.5e12 for 7.5T$/, given("7.5T"));
  refuses("INVALID_OPTION", /is "8K"/, /above 0$/, given("8K"));
  refuses("INVALID_OPTION", /is "1.2.3M"/, /above 0$/, given("1.2.3M"));
  refuses("INVALID_OPTION", /is "52B"/, /dropless$/, () => resolveOptions(schema, [strings({ mode: "52B" })]));
  refuses("INVALID_OPTION", /is Infinity/, /above 0$/, given("1e400"));
});

test("a missing value and a rule of the command's own are told in one line", () => {
  const strict = z.strictObject({
    prompt: z.string(),
    seed: z.int().refine((seed) => seed % 2 === 0, "give an even seed"),
  });
  const layer = (values: Record<string, unknown>) => [{ name: "flags", values, nameKey: (key: string) => `--${key}` }];
  refuses("INVALID_OPTION", /^--prompt is missing$/, /give text/, () => resolveOptions(strict, layer({ seed: 2 })));
  refuses("INVALID_OPTION", /^--seed cannot be 3$/, /give an even seed/, () =>
    resolveOptions(strict, layer({ prompt: "", seed: 3 })),
  );
});

test("--set texts must be KEY=VALUE", () => {
  assert.deepEqual(parseAssignments(["a.b=1=2", "a.c="]), { a: { b: "1=2", c: "" } });
  for (const text of ["steps", "=1", "a..b=1", "__proto__.x=1"]) {
    refuses("INVALID_OPTION", /is not KEY=VALUE/, /--set/, () => parseAssignments([text]));
  }
});

test("YAML and JSON files hold options", () => {
  assert.deepEqual(readConfigFile(write("a.yaml", "steps: 3\nmodel:\n  numLayers: 2\n"), "train"), {
    steps: 3,
    model: { numLayers: 2 },
  });
  assert.deepEqual(readConfigFile(write("a.json", '{"steps": 3}'), "train"), { steps: 3 });
  assert.deepEqual(readConfigFile(write("empty.yaml", ""), "train"), {});
});

test("a run's own config.json is a valid --config, for its own command", () => {
  const options = resolveOptions(schema, [strings({ steps: "7" })]);
  const path = write("config.json", JSON.stringify(makeRunConfig("train", options)));
  assert.deepEqual(resolveOptions(schema, [{ name: path, values: readConfigFile(path, "train") }]), options);
  refuses("INVALID_OPTION", /configures "train", not "sample"/, /"sample" run/, () => readConfigFile(path, "sample"));
});

test("files that cannot be options are refused", () => {
  const read = (path: string) => () => readConfigFile(path, "train");
  refuses("FILE_UNREADABLE", /cannot read .*none\.yaml: it does not exist/, /./, read(join(folder, "none.yaml")));
  refuses("FILE_DAMAGED", /has 5000003 bytes/, /./, read(write("big.yaml", `a: ${"x".repeat(5_000_000)}`)));
  refuses("FILE_DAMAGED", /broken\.yaml:3:1: Flow .* end with a \]$/, /./, read(write("broken.yaml", "a: 1\nb: [1\n")));
  refuses("FILE_DAMAGED", /broken\.json/, /./, read(write("broken.json", "{")));
  refuses("FILE_DAMAGED", /holds no options/, /./, read(write("list.yaml", "- a\n")));
  refuses(
    "FILE_DAMAGED",
    /has no "options"/,
    /./,
    read(write("no.json", '{"format":"rookery-run/1","command":"train"}')),
  );
  refuses(
    "UNKNOWN_FORMAT",
    /"rookery-run\/2"/,
    /rookery-run\/1/,
    read(write("new.json", '{"format":"rookery-run/2"}')),
  );
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${"bcdefgh"
    .split("")
    .map((name, index) => `${name}: &${name} [${Array(10).fill(`*${"abcdefgh"[index]}`).join(",")}]`)
    .join("\n")}`;
  refuses("FILE_DAMAGED", /bomb\.yaml/, /./, read(write("bomb.yaml", bomb)));
});

test("an option replaces its alternatives in weaker layers, and only those", () => {
  const file = { name: "run.yaml", values: { steps: 10, seed: 1 } };
  const flags = { name: "flags", values: { minutes: 3 } };
  const merged = mergeLayers(replaceAlternatives([file, flags], [["minutes", "steps"]]));
  assert.deepEqual(merged, { seed: 1, minutes: 3 });
  const both = { name: "flags", values: { minutes: 3, steps: 4 } };
  assert.deepEqual(mergeLayers(replaceAlternatives([file, both], [["minutes", "steps"]])), {
    seed: 1,
    minutes: 3,
    steps: 4,
  });
});
