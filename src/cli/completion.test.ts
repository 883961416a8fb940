import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { commandTable } from "./commands.ts";
import { completionScript } from "./completion.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-completion-"));
after(() => fs.rmSync(folder, { recursive: true }));
for (const run of ["runs/nano-1", "runs/notes", "elsewhere/other"]) {
  fs.mkdirSync(path.join(folder, run), { recursive: true });
  fs.writeFileSync(path.join(folder, run, "config.json"), "{}");
}
for (const name of ["runs/empty", "texts", "text folder"]) fs.mkdirSync(path.join(folder, name));
fs.writeFileSync(path.join(folder, "texts.txt"), "");

/** `files`: nothing of ours, so that the shell offers files. */
const typed: [words: string[], offered: string[] | "files"][] = [
  [["tra"], ["train"]],
  [["kernels", ""], ["build"]],
  [["kernels", "build", "--is"], ["--isa"]],
  [["eval", "run", "--task"], ["--tasks"]],
  [["train", "--no-ded"], ["--no-deduplicate"]],
  [
    ["completion", ""],
    ["bash", "fish", "zsh"],
  ],
  // values that are known
  [
    ["train", "--preset", "nano"],
    ["nano", "nano-portable"],
  ],
  [
    ["eval", "needle", "m", "--kind", ""],
    ["key-value", "multi", "single", "variables"],
  ],
  [
    ["plan", "--law", "chin"],
    ["chinchilla", "chinchilla-replication"],
  ],
  [
    ["quantize", "m", "--scheme", ""],
    ["fp8", "int4", "int8"],
  ],
  [
    ["kernels", "build", "--isa", "avx"],
    ["avx2", "avx512", "avx512bf16"],
  ],
  [["eval", "run", "m", "--tasks", "hella"], ["hellaswag"]],
  [["eval", "run", "m", "--tasks", "mmlu,hella"], ["mmlu,hellaswag"]],
  [["tasks", "retrieval", "out", "--kinds", "words,co"], ["words,copy"]],
  // files, folders and runs
  [["train", "--data", ""], "files"],
  [["train", "--data", "a.txt", ""], "files"],
  [["data", "inspect", ""], "files"],
  [["train", "--config", ""], "files"],
  [
    ["train", "--tokenizer", "te"],
    ["text folder", "texts"],
  ],
  [
    ["report", ""],
    ["nano-1", "notes"],
  ],
  [
    ["train", "--resume", "--name", "n"],
    ["nano-1", "notes"],
  ],
  [["report", "--runs-folder", "elsewhere", ""], ["other"]],
  [
    ["sample", "n"],
    ["nano-1", "notes"],
  ],
  [
    ["sample", "te"],
    ["text folder", "texts"],
  ],
  [["info", "hunyuan"], ["hunyuan-large"]],
  // neither a file nor a word could be meant
  [["train", "--minutes", ""], []],
];

const trimmed = (line: string) => line.replace(/\/$/, "");

test("bash completes commands, flags and values", { skip: hasNot("bash") }, async () => {
  const script = await completionScript("bash", commandTable);
  // outside of a completion there are no options of it to set
  const stub = 'compopt() { if [[ "$*" == "+o default" ]]; then offersFiles=""; fi; }';
  const show = `if [[ -z "\${COMPREPLY[*]}" && $offersFiles ]]; then echo files; else printf "%s\\n" "\${COMPREPLY[@]}"; fi`;
  const asked = typed.map(([words]) => {
    const list = ["rookery", ...words].map((word) => `'${word}'`).join(" ");
    return `offersFiles=1; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _rookery; ${show}; echo ==`;
  });
  const lines = [stub, script, ...asked].join("\n");
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", lines], { cwd: folder, encoding: "utf8" });
  assert.equal(stderr, "");
  const answers = stdout.split("==\n");
  for (const [index, [words, offered]] of typed.entries()) {
    const found = answers[index]!.split("\n").filter(Boolean).map(trimmed).sort();
    assert.deepEqual(found, offered === "files" ? ["files"] : offered, words.join(" "));
  }
});

test("bash takes --flag=value apart, zsh does not: both are understood", { skip: hasNot("bash") }, async () => {
  const script = await completionScript("bash", commandTable);
  const values: [list: string, word: number, offered: string][] = [
    ["rookery train --preset = nano-", 4, "nano-portable"],
    ["rookery train --preset =", 3, "pico"],
    ["rookery train --preset=nano-", 2, "--preset=nano-portable"],
  ];
  for (const [list, word, offered] of values) {
    const asked = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${word}; _rookery; echo " \${COMPREPLY[*]} "`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", asked], { cwd: folder, encoding: "utf8" });
    assert.equal(stderr, "");
    assert.ok(stdout.includes(` ${offered} `), `${list}: ${stdout}`);
  }
});

test("fish completes the same", { skip: hasNot("fish") }, async () => {
  const script = await completionScript("fish", commandTable);
  for (const [words, offered] of typed) {
    const asked = `${script}\ncomplete -C 'rookery ${words.join(" ")}'`;
    const { stdout, stderr } = spawnSync("fish", ["--no-config", "-c", asked], { cwd: folder, encoding: "utf8" });
    const lines = stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => trimmed(line.split("\t")[0]!));
    if (offered === "files") assert.ok(lines.includes("texts.txt") || words.includes("a.txt"), words.join(" "));
    else assert.deepEqual([lines.sort(), stderr], [offered, ""], words.join(" "));
  }
});

test("zsh reads the script of bash, and takes no name behind a colon for a modifier", async () => {
  const script = await completionScript("zsh", commandTable);
  assert.match(script, /^autoload -U \+X compinit bashcompinit/);
  assert.doesNotMatch(script, /:[A-Za-z_]+[^}\n]*\}/);
});

test("no word that is offered means anything to a shell", async () => {
  for (const shell of ["bash", "fish"] as const) {
    const script = await completionScript(shell, commandTable);
    const lists = [...script.matchAll(/(?:words|flags)="([^"$]*)"|-a '([^']*)'/g)];
    assert.ok(lists.length > 100);
    for (const [, bash, fish] of lists) {
      const words = (bash ?? fish!.replaceAll(/\(__[a-z_]+\)|\(__fish_append ,|\)/g, "")).split(" ");
      for (const word of words) assert.match(word, /^[\w.+-]*$/);
    }
  }
});

function hasNot(shell: string): string | false {
  return spawnSync(shell, ["--version"]).status === 0 ? false : `no ${shell} here`;
}
