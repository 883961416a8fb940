import { RookeryError } from "../base/errors.ts";
import type { CommandIo } from "./command.ts";

/** All of stdin as text. Throws BAD_DATA when it is not UTF-8. */
export async function readUtf8(stdin: CommandIo["stdin"]): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new RookeryError("BAD_DATA", "stdin is not UTF-8 text", "convert it to UTF-8", { cause: error });
  }
}
