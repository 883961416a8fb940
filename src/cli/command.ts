import type { z } from "zod";
import { type ConfigLayer, mergeLayers, replaceAlternatives, resolveOptions } from "../base/config.ts";
import { type ExitCode, exitCodes } from "../base/errors.ts";
import type { CommandContext, RookeryEvent } from "../base/events.ts";
import { type OptionSchema, toOptionSchema } from "../base/option-schema.ts";
import { type Display, isCommonEvent, showCommonEvents } from "./progress.ts";

/** A command line that can be typed as it stands, and what it is for. */
export type Example = { line: string; purpose: string };

/** Where somebody types and reads: both ends are a terminal. */
export type Terminal = { input: NodeJS.ReadStream; output: NodeJS.WriteStream };

/** What a command may do to the outside besides returning a result. */
export type CommandIo = {
  /** Whether the result is printed as JSON, so that nothing else may go to stdout. */
  json: boolean;
  /** Text for stdout while the work goes on, such as tokens as they are sampled; silent under `--json`. */
  write(text: string): void;
  stdin: AsyncIterable<Uint8Array | string>;
  /** Undefined under `--json`, and where stdin or stdout is no terminal. */
  terminal?: Terminal | undefined;
  /** Variables of the environment, for what must not stand on a command line. */
  environment: Readonly<Record<string, string | undefined>>;
};

/**
 * How a command is written down: one schema is its flags, its configuration file and its type.
 * `ExtraEvent` are the events that only this command has, besides `RookeryEvent`.
 */
export type CommandDefinition<
  Schema extends z.ZodType<object>,
  Result extends object,
  ExtraEvent extends { type: string },
> = {
  /** An object schema; each key carries `.describe()`, and keys with values may carry `.meta({ valueName: "PATH" })`. */
  schema: Schema;
  /** Keys that are words instead of flags, in order; the last may be a list. */
  positionals?: readonly (keyof z.input<Schema> & string)[];
  examples: readonly [Example, ...Example[]];
  /** Groups of keys that say one thing in different ways; one on the command line replaces another in a file. */
  alternatives?: readonly (readonly (keyof z.input<Schema> & string)[])[];
  /** The layer below all others, chosen by what the layers above it say (`--preset`). */
  preset?(values: Record<string, unknown>): ConfigLayer | undefined;
  run(
    options: z.output<Schema>,
    context: CommandContext<RookeryEvent | ExtraEvent>,
    io: CommandIo,
  ): Promise<Result> | Result;
  /** The result in words, a line each. */
  describe(result: Result): readonly string[];
  /** The format of the JSON object, where several commands share one; it is then the last line in words, too. */
  sharedFormat?: string;
  exitCode?(result: Result): ExitCode;
  /** For work without an end of its own: what is said when Ctrl-C asks for it, which is then no interruption. */
  stopMessage?: string;
  /** Draws the events of its own; common ones are drawn in any case. */
  showEvents?(display: Display): (event: ExtraEvent) => void;
};

/** What one execution is given by the command line. */
export type Execution = {
  layers: readonly ConfigLayer[];
  signal: AbortSignal;
  io: CommandIo;
  /** Where events are drawn; undefined under `--json`, where only `onWarning` hears anything. */
  display: Display | undefined;
  onWarning(message: string): void;
};

/** What one execution leaves behind. */
export type Outcome = {
  result: object;
  describe(): readonly string[];
  sharedFormat: string | undefined;
  exitCode: ExitCode;
};

/** A command as the command line sees it: every type of its own is closed inside. */
export type Command = {
  schema: OptionSchema;
  positionals: readonly string[];
  examples: readonly Example[];
  stopMessage: string | undefined;
  execute(execution: Execution): Promise<Outcome>;
};

/** Makes a command out of its definition. One file under `commands/` and one line in `commands.ts` add it. */
export function defineCommand<
  Schema extends z.ZodType<object>,
  Result extends object,
  ExtraEvent extends { type: string } = never,
>(definition: CommandDefinition<Schema, Result, ExtraEvent>): Command {
  return {
    schema: toOptionSchema(definition.schema),
    positionals: definition.positionals ?? [],
    examples: definition.examples,
    stopMessage: definition.stopMessage,
    async execute({ layers: given, signal, io, display, onWarning }) {
      const layers = replaceAlternatives(given, definition.alternatives ?? []);
      const preset = definition.preset?.(mergeLayers(layers));
      const options = resolveOptions(definition.schema, preset === undefined ? layers : [preset, ...layers]);
      const showCommon = display === undefined ? undefined : showCommonEvents(display);
      const showExtra = display === undefined ? undefined : definition.showEvents?.(display);
      const onEvent = (event: RookeryEvent | ExtraEvent) => {
        if (!isCommonEvent(event)) showExtra?.(event);
        else if (showCommon !== undefined) showCommon(event);
        else if (event.type === "warning") onWarning(event.message);
      };
      const result = await definition.run(options, { signal, onEvent }, io);
      return {
        result,
        describe: () => definition.describe(result),
        sharedFormat: definition.sharedFormat,
        exitCode: definition.exitCode?.(result) ?? exitCodes.done,
      };
    },
  };
}
