import type { Command } from "./command.ts";

/** A line of the table of commands. `load` imports the command only when it is used, so that help is quick. */
export type CommandEntry = {
  /** As typed after `rookery`; a name of two words belongs to a group. */
  name: string;
  summary: string;
  load(): Promise<{ command: Command }>;
};

/** Every command, in the order of the help. To add one: a file under `commands/`, and a line here. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: "doctor",
    summary: "check that this machine can run Rookery: Node, compiler, kernels, memory, disk",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "data inspect",
    summary: "count the documents, characters, tokens and duplicates of texts, and what is filtered out of them",
    load: () => import("./commands/data-inspect.ts"),
  },
  {
    name: "config schema",
    summary: "print the JSON Schema of a command's options, for editors and checks",
    load: () => import("./commands/config-schema.ts"),
  },
];
