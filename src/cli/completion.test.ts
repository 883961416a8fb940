import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { commandTable } from "./commands.ts";
import { completionScript } from "./completion.ts";

const typed: [words: string[], offered: string[]][] = [
  [["tra"], ["train"]],
  [["kernels", ""], ["build"]],
  [["kernels", "build", "--is"], ["--isa"]],
  [["eval", "run", "--task"], ["--tasks"]],
  [["train", "--no-ded"], ["--no-deduplicate"]],
  // a value or a file
  [["train", "--data", ""], []],
];

test("bash completes commands, groups and flags", { skip: hasNot("bash") }, async () => {
  const script = await completionScript("bash", commandTable);
  for (const [words, offered] of typed) {
    const list = ["rookery", ...words].map((word) => `'${word}'`).join(" ");
    const asked = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length}; _rookery; echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", asked], { encoding: "utf8" });
    assert.deepEqual([stdout.trim().split(" ").filter(Boolean), stderr], [offered, ""], words.join(" "));
  }
});

test("fish completes the same", { skip: hasNot("fish") }, async () => {
  const script = await completionScript("fish", commandTable);
  for (const [words, offered] of typed.slice(0, -1)) {
    const asked = `${script}\ncomplete -C 'rookery ${words.join(" ")}'`;
    const { stdout, stderr } = spawnSync("fish", ["--no-config", "-c", asked], { encoding: "utf8" });
    assert.deepEqual([stdout.trim().split("\n"), stderr], [offered, ""], words.join(" "));
  }
});

test("zsh reads the script of bash, and takes no name behind a colon for a modifier", async () => {
  const script = await completionScript("zsh", commandTable);
  assert.match(script, /^autoload -U \+X compinit bashcompinit/);
  assert.doesNotMatch(script, /:[A-Za-z_]+[^}]*\}/);
});

function hasNot(shell: string): string | false {
  return spawnSync(shell, ["--version"]).status === 0 ? false : `no ${shell} here`;
}
