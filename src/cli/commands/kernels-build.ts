import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { compileKernels, findCompiler } from "../../kernels/build.ts";
import { type Level, levels } from "../../kernels/levels.ts";
import { chooseLevel } from "../../kernels/load.ts";
import { defineCommand } from "../command.ts";
import { formatBytes } from "../text.ts";

const schema = z.strictObject({
  isa: z
    .enum(levels)
    .optional()
    .describe("the level to build, also one that this CPU does not run; by default the best that it does")
    .meta({ valueName: "LEVEL" }),
  out: z
    .string()
    .min(1)
    .default("rookery-kernels.so")
    .describe("the file of the library; one that is there is replaced")
    .meta({ valueName: "FILE" }),
});

type BuildResult = { level: Level; file: string; bytes: number; compiler: string };

export const command = defineCommand({
  schema,
  examples: [
    {
      line: "rookery kernels build --out kernels.so",
      purpose: "for this CPU; ROOKERY_KERNELS=kernels.so then needs no compiler",
    },
    { line: "rookery kernels build --isa avx2 --out kernels-avx2.so", purpose: "for an image that runs on older CPUs" },
  ],
  run({ isa, out }): BuildResult {
    const level = isa ?? chooseLevel();
    const file = path.resolve(out);
    const folder = path.dirname(file);
    if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new RookeryError("FILE_UNWRITABLE", `there is no folder ${folder}`, "make it, or give another --out");
    }
    if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory()) {
      throw new RookeryError("FILE_UNWRITABLE", `${file} is a folder`, "give the name of a file with --out");
    }
    const compiler = findCompiler();
    compileKernels(level, file, compiler);
    return { level, file, bytes: fs.statSync(file).size, compiler: compiler!.version };
  },
  describe: ({ level, file, bytes, compiler }) => [
    `${file}: the ${level} kernels, ${formatBytes(bytes)}, by ${compiler}`,
    `use: ROOKERY_KERNELS=${file} rookery COMMAND`,
  ],
});
