import { z } from "zod";
import { defineCommand } from "../command.ts";
import { commandTable } from "../commands.ts";
import { completionScript, shells } from "../completion.ts";

const schema = z.strictObject({
  shell: z.enum(shells).describe("the shell that is to complete").meta({ valueName: "SHELL" }),
});

export const command = defineCommand({
  schema,
  positionals: ["shell"],
  examples: [
    {
      line: "rookery completion bash > ~/.local/share/bash-completion/completions/rookery",
      purpose: "for bash, for good",
    },
    { line: "rookery completion fish > ~/.config/fish/completions/rookery.fish", purpose: "for fish" },
    {
      line: "rookery completion zsh > ~/.rookery-completion.zsh",
      purpose: "for zsh, which sources that file in .zshrc",
    },
  ],
  run: async ({ shell }) => ({ shell, script: await completionScript(shell, commandTable) }),
  describe: ({ script }) => script.trimEnd().split("\n"),
});
