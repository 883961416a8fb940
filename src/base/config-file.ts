/** Options from a file. Apart from config.ts, since most programs that import Rookery read none, and the YAML parser is 70 modules. */
import { extname } from "node:path";
import { parse as parseYaml, YAMLParseError } from "yaml";
import { runConfigFormat, showValue } from "./config.ts";
import { RookeryError } from "./errors.ts";
import { readTextFile } from "./files.ts";
import { isPlainObject } from "./option-schema.ts";
import { rookeryVersion } from "./version.ts";

const largestConfigBytes = 4 * 1024 * 1024;

/**
 * Options for `command` from a YAML or JSON file, which may be a run's own `config.json`.
 * @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED (neither YAML nor JSON), UNKNOWN_FORMAT, INVALID_OPTION (another command's run).
 */
export function readConfigFile(path: string, command: string): Record<string, unknown> {
  const value = parseConfigText(path, readTextFile(path, largestConfigBytes));
  if (value === null) return {};
  if (!isPlainObject(value)) {
    throw new RookeryError(
      "FILE_DAMAGED",
      `${path} holds no options`,
      "write one KEY: VALUE a line (YAML), or a JSON object",
    );
  }
  return "format" in value ? optionsOfRun(path, value, command) : value;
}

function optionsOfRun(path: string, run: Record<string, unknown>, command: string): Record<string, unknown> {
  if (run.format !== runConfigFormat) {
    const mend = `this Rookery (${rookeryVersion}) reads ${runConfigFormat}, or plain options without a "format"`;
    throw new RookeryError("UNKNOWN_FORMAT", `${path} has format ${showValue(run.format)}`, mend);
  }
  if (run.command !== command) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${path} configures ${showValue(run.command)}, not "${command}"`,
      `give the config.json of a "${command}" run`,
    );
  }
  if (!isPlainObject(run.options)) {
    throw new RookeryError("FILE_DAMAGED", `${path} has no "options"`, "restore the file from the run that wrote it");
  }
  return run.options;
}

function parseConfigText(path: string, text: string): unknown {
  try {
    if (extname(path).toLowerCase() === ".json") return JSON.parse(text);
    return parseYaml(text, { maxAliasCount: 100 });
  } catch (error) {
    const position = error instanceof YAMLParseError ? error.linePos?.[0] : undefined;
    const where = position === undefined ? path : `${path}:${position.line}:${position.col}`;
    const reason = (error instanceof Error ? error.message : String(error))
      .split("\n")[0]!
      .replace(/( at line \d+, column \d+)?:?$/, "");
    throw new RookeryError("FILE_DAMAGED", `${where}: ${reason}`, "mend the YAML or JSON there", { cause: error });
  }
}
