/**
 * The public face of Rookery. What is exported here, and nothing else, is kept stable;
 * test/package.test.ts holds the list of names.
 */
export { type ErrorCode, type ExitCode, errorCodes, exitCodes, RookeryError } from "./base/errors.ts";
export type { CommandContext, RookeryEvent } from "./base/events.ts";
export { rookeryVersion } from "./base/version.ts";
