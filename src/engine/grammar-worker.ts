/**
 * The thread of one grammar: compiles it, and tells each text that keeps to it which tokens may come next. Whatever a hostile
 * grammar does to the library, it does to this thread alone.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { CompiledGrammar, GrammarMatcher } from "@mlc-ai/web-xgrammar";
import { type GrammarLibrary, loadGrammarLibrary } from "./grammar-library.ts";
import {
  boardWords,
  type FromGrammarWorker,
  type GrammarWorkerData,
  type ToGrammarWorker,
} from "./grammar-messages.ts";

/** One line, on which JSON has its usual spaces: small models waste no tokens on layout. */
const layout = { anyWhitespace: false, indent: -1, separators: [", ", ": "] as [string, string] };

async function compile(library: GrammarLibrary, data: GrammarWorkerData): Promise<CompiledGrammar> {
  const { grammar, tokenBytes, tokenOffsets, stopTokenIds } = data;
  const vocabularySize = tokenOffsets.length - 1;
  const vocabulary = Array.from({ length: vocabularySize }, (_, id) => {
    const bytes = tokenBytes.slice(tokenOffsets[id], tokenOffsets[id + 1]);
    // The library lets control characters into strings of limited length. JSON on one line has none, so no such token comes.
    const isPermitted = grammar.type === "ebnf" || bytes.every((byte) => byte >= 0x20);
    return isPermitted ? bytes : new Uint8Array();
  });
  const info = await library.TokenizerInfo.createTokenizerInfo(
    // its types say strings, and the strings of C++ behind them take bytes, which tokens are
    vocabulary as unknown as string[],
    "raw",
    false,
    vocabularySize,
    stopTokenIds.length > 0 ? [...stopTokenIds] : undefined,
  );
  const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false);
  if (grammar.type === "ebnf") return compiler.compileGrammar(grammar.grammar);
  const schema =
    grammar.type === "json" ? JSON.stringify({ type: "object", additionalProperties: true }) : grammar.schema;
  return compiler.compileJSONSchema(schema, layout.anyWhitespace, layout.indent, layout.separators, true);
}

async function serve(port: NonNullable<typeof parentPort>, data: GrammarWorkerData): Promise<void> {
  const said: string[] = [];
  // what the library has against a grammar it writes to the console of this thread, and nowhere else
  const listen = (...words: unknown[]) => said.push(words.join(" "));
  Object.assign(globalThis.console, { error: listen, warn: listen });
  const send = (message: FromGrammarWorker) => port.postMessage(message);
  const library = loadGrammarLibrary();
  let compiled: CompiledGrammar;
  const stops = data.stopTokenIds.length > 0 ? [...data.stopTokenIds] : undefined;
  const newMatcher = (): Promise<GrammarMatcher> =>
    library.GrammarMatcher.createGrammarMatcher(compiled, stops, stops === undefined);
  try {
    compiled = await compile(library, data);
    const first = await newMatcher();
    const mask = await first.getNextTokenBitmask();
    first.dispose();
    if (mask.every((word) => word === 0)) return send({ type: "refused", reason: "it permits no text" });
  } catch (error) {
    return send({ type: "refused", reason: reasonOf(said, error) });
  }
  send({ type: "ready" });

  const open = new Map<number, { matcher: GrammarMatcher; board: Int32Array }>();
  const post = async ({ matcher, board }: { matcher: GrammarMatcher; board: Int32Array }) => {
    const isComplete = matcher.isTerminated();
    if (!isComplete) board.set(await matcher.getNextTokenBitmask(), boardWords.mask);
    board[boardWords.complete] = isComplete ? 1 : 0;
    Atomics.add(board, boardWords.masks, 1);
    Atomics.notify(board, boardWords.masks);
  };
  const handle = async (message: ToGrammarWorker): Promise<void> => {
    if (message.type === "open") {
      const entry = { matcher: await newMatcher(), board: message.board };
      open.set(message.id, entry);
      return post(entry);
    }
    const entry = open.get(message.id);
    if (!entry) return;
    if (message.type === "close") {
      open.delete(message.id);
      return entry.matcher.dispose();
    }
    if (!entry.matcher.acceptToken(message.token)) throw new Error(`token ${message.token} was not permitted`);
    await post(entry);
  };
  // in their order: the library answers with promises
  let last = Promise.resolve();
  port.on("message", (message: ToGrammarWorker) => {
    last = last
      .then(() => handle(message))
      .catch(() => {
        const board = message.type === "open" ? message.board : open.get(message.id)?.board;
        if (!board) return;
        Atomics.store(board, boardWords.masks, -1);
        Atomics.notify(board, boardWords.masks);
      });
  });
}

/** The library's own words without its files and lines, or what was thrown. */
function reasonOf(said: readonly string[], error: unknown): string {
  const fatal = said.find((line) => line.startsWith("[FATAL]"));
  const text = fatal?.replace(/^\[FATAL\] \S*?:\d+: (Check failed: \([^)]*\)+ is false: )?/, "") ?? String(error);
  return text.replace(/\s+/g, " ").slice(0, 300);
}

if (parentPort) await serve(parentPort, workerData as GrammarWorkerData);
