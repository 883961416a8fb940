/** Exit codes of the command line; design.md and docs/errors.md list their meaning. */
export const exitCodes = {
  done: 0,
  ourFault: 1,
  userMistake: 2,
  gateFailed: 3,
  stoppedByGuard: 4,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Every code a `RookeryError` can carry, with what it means. `docs/errors.md` is made from this table. */
export const errorCodes = {
  INVALID_OPTION: "an option or a configuration key has a value that cannot be used",
  UNKNOWN_OPTION: "an option, a key or a command that does not exist",
  INVALID_CONFIG: "a model or run configuration that cannot be built",
  FILE_UNREADABLE: "a file or a folder that cannot be read",
  FILE_UNWRITABLE: "a file or a folder that cannot be written",
  FILE_DAMAGED: "a file whose contents do not match its own format or checksum",
  UNKNOWN_FORMAT: "a file of a format or a version that this Rookery does not read",
  BAD_DATA: "training or evaluation data that cannot be used",
  MODEL_NOT_FOUND: "MODEL names no preset, run or directory",
  UNSUPPORTED_MODEL: "a model that this Rookery cannot build",
  RUN_EXISTS: "a run of that name is already there",
  RUN_LOCKED: "a run that another live process holds",
  NO_COMPILER: "no C compiler, and no prebuilt kernels",
  KERNEL_FAILED: "a kernel refused its arguments, or could not be built or loaded",
  OUT_OF_MEMORY: "more memory is needed than there is",
  DISPOSED: "a tensor or a buffer was used after it was given back",
  NON_FINITE: "the loss or the gradient was not finite, several times in a row",
  OVERLOADED: "an engine has as many requests waiting as it takes",
  ENGINE_STOPPED: "an engine was asked for something after it was closed, or its thread has ended by a fault",
  ENDPOINT_FAILED: "a server that was asked over HTTP does not answer, refuses, or breaks off",
  BUDGET_SPENT: "requests have taken as many tokens, or as much money, as they may",
  INTERRUPTED: "stopped by Ctrl-C, after saving",
  BENCH_FAILED: "a process that takes part in a benchmark ended or reported an error, or a result was wrong",
  NOT_CONTAINED: "generated code would have to run without walls around it",
  MISSING_DEPENDENCY: "an optional package is not installed",
} as const;

export type ErrorCode = keyof typeof errorCodes;

const exitCodeOf: Partial<Record<ErrorCode, ExitCode>> = {
  NON_FINITE: exitCodes.stoppedByGuard,
  BUDGET_SPENT: exitCodes.stoppedByGuard,
  INTERRUPTED: exitCodes.interrupted,
  KERNEL_FAILED: exitCodes.ourFault,
  DISPOSED: exitCodes.ourFault,
  ENGINE_STOPPED: exitCodes.ourFault,
};

/**
 * The one error that users are meant to read: `message` names the thing and the value in one line,
 * `hint` says how to mend it. Anything else that is thrown is a fault of the program and keeps its stack.
 */
export class RookeryError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "RookeryError";
    this.code = code;
    this.hint = hint;
  }

  /** The process exit code that this error leads to. */
  get exitCode(): ExitCode {
    return exitCodeOf[this.code] ?? exitCodes.userMistake;
  }
}
