import assert from "node:assert/strict";
import { test } from "node:test";
import { compilerFlags, levels, supportedLevels } from "./levels.ts";

test("every level keeps IEEE arithmetic, names its flags, and differs from the others", () => {
  const seen = new Set<string>();
  for (const level of levels) {
    const flags = compilerFlags(level);
    assert.ok(flags.includes("-ffp-contract=off"), level);
    assert.ok(flags.includes("-std=c17"), level);
    assert.ok(!flags.some((flag) => /fast-math|Ofast|march=native|associative|finite/.test(flag)), level);
    seen.add(JSON.stringify(flags));
  }
  assert.equal(seen.size, levels.length);
});

test("compilerFlags hands out a list of its own", () => {
  compilerFlags("portable").push("-Ofast");
  assert.ok(!compilerFlags("portable").includes("-Ofast"));
});

test("every machine runs the portable level, and supported levels come slowest first", () => {
  const supported = supportedLevels();
  assert.equal(supported[0], "portable");
  assert.deepEqual(
    supported,
    levels.filter((level) => supported.includes(level)),
  );
});
