/** Answers that are programs: two are the same when they do the same, which is found out by running them contained. */
import { type CodeLanguage, runContained } from "../../sandbox/run.ts";

export type CodeBounds = {
  timeoutMs: number;
  memoryBytes: number;
  allowUncontained: boolean;
  signal?: AbortSignal | undefined;
};

/** What a program printed, and what its last function made of each probe: null where it threw. */
export type Behavior = { printed: string; results: (string | null)[] };

export const codeFaults = {
  noCode: "there is no block of code in a language that can be run",
  codeFails: "the code ends with an error, or does nothing",
  codeExceeds: "the code took too much time, memory or output",
} as const;
export type CodeFault = keyof typeof codeFaults;

const languageOf: Readonly<Record<string, CodeLanguage>> = {
  python: "python",
  py: "python",
  python3: "python",
  javascript: "javascript",
  js: "javascript",
  node: "javascript",
};

/** The longest block between fences, in the language that it names; Python where it names none. */
export function codeIn(text: string): { language: CodeLanguage; code: string } | undefined {
  const blocks = [...text.matchAll(/```[ \t]*([\w+#-]*)[^\n]*\n([\s\S]*?)(?:\n[ \t]*```|$)/g)];
  const runnable = blocks.flatMap(([, name = "", code = ""]) => {
    const language = name === "" ? guessLanguage(code) : languageOf[name.toLowerCase()];
    return language === undefined || code.trim() === "" ? [] : [{ language, code }];
  });
  if (runnable.length > 0) return runnable.reduce((a, b) => (b.code.length > a.code.length ? b : a));
  const looksLikeCode = /^(?:def|import|from|print\(|class|function|const|let|console\.)/m.test(text);
  return blocks.length === 0 && looksLikeCode ? { language: guessLanguage(text), code: text } : undefined;
}

const guessLanguage = (code: string): CodeLanguage =>
  /^\s*(?:const|let|var|function)\s|console\.log|=>/m.test(code) ? "javascript" : "python";

/** What functions are tried on: one to three arguments, of the kinds that exercises take. */
const probes = [
  [0],
  [1],
  [2],
  [7],
  [10],
  [-3],
  [2.5],
  [""],
  ["a"],
  ["level"],
  ["Hello, World"],
  ["3"],
  [[]],
  [[1]],
  [[3, 1, 2]],
  [[5, 5, -1, 0]],
  [["b", "a", "c"]],
  [3, 4],
  [10, 3],
  [7, 0],
  ["abc", "b"],
  ["abc", 2],
  [[1, 2, 3], 2],
  [
    [1, 2, 3],
    [2, 3, 4],
  ],
  [1, 2, 3],
  [[1, 2, 3], 0, 2],
  ["abc", "a", "x"],
];

const pythonHarness = `
import sys as _sys, json as _json
_seen = []
for _name, _made in list(globals().items()):
    if getattr(_made, "__module__", None) == "__main__" and type(_made).__name__ == "function" and not _name.startswith("_"):
        _seen.append(_made)
if _seen:
    _out = []
    for _arguments in _json.loads(PROBES):
        _at = len(_out)
        try: _out.append(repr(_seen[-1](*_arguments)))
        except Exception as _error: _out.append(None)
    _sys.stdout.write("\\n" + MARK + _json.dumps(_out) + "\\n")
`;

const javascriptHarness = (functionName: string) => `
{
  const { stdout } = process;
  const out = JSON.parse(PROBES).map((values) => {
    try { return JSON.stringify(${functionName}(...values)) ?? "undefined"; } catch { return null; }
  });
  stdout.write("\\n" + MARK + JSON.stringify(out) + "\\n");
}
`;

const mark = "behavior:";

/**
 * Whether two programs do the same. What is no argument for one of them may be one for the other: a probe counts where both
 * give a result.
 */
export function isSameBehavior(a: Behavior, b: Behavior): boolean {
  if (a.printed !== b.printed) return false;
  const both = a.results.map((result, at) => [result, b.results[at] ?? null] as const);
  const told = both.filter(([first, second]) => first !== null && second !== null);
  if (told.length === 0) return hasResult(a) === hasResult(b) && !hasResult(a);
  return told.every(([first, second]) => first === second);
}

const hasResult = ({ results }: Behavior): boolean => results.some((result) => result !== null);

/**
 * Runs a program without input, then calls its last function on arguments of several kinds, and takes all that comes out.
 * @throws RookeryError NOT_CONTAINED, MISSING_DEPENDENCY; the signal's reason
 */
export async function behaviorOf(
  text: string,
  bounds: CodeBounds,
): Promise<{ behavior: Behavior } | { fault: CodeFault; detail: string }> {
  const found = codeIn(text);
  if (found === undefined) return { fault: "noCode", detail: "no block of Python or JavaScript" };
  const { language, code } = found;
  const result = await runContained({ language, code: withHarness(language, code), ...bounds });
  const detail = lastLine(result.stderr);
  if (result.status === "error") return { fault: "codeFails", detail };
  if (result.status !== "ok")
    return { fault: "codeExceeds", detail: `${result.status} after ${Math.round(result.durationMs)} ms` };
  const behavior = readBehavior(result.stdout);
  if (behavior.printed !== "" || behavior.results.some((one) => one !== null && one !== "None" && one !== "undefined"))
    return { behavior };
  return { fault: "codeFails", detail: "it prints nothing, and no function of it returns anything" };
}

function readBehavior(stdout: string): Behavior {
  const at = stdout.lastIndexOf(`\n${mark}`);
  const printed = (at < 0 ? stdout : stdout.slice(0, at)).trim().replace(/[ \t]+$/gm, "");
  return { printed, results: at < 0 ? [] : readResults(stdout.slice(at + 1 + mark.length)) };
}

/** The program may have printed after its own report, or forged one. */
function readResults(text: string): Behavior["results"] {
  try {
    const results: unknown = JSON.parse(text);
    return Array.isArray(results) ? results.map((one) => (typeof one === "string" ? one : null)) : [];
  } catch {
    return [];
  }
}

function withHarness(language: CodeLanguage, code: string): string {
  if (language === "python") return code + fill(pythonHarness, (text) => JSON.stringify(text));
  const name = [
    ...code.matchAll(
      /^(?:async )?function\s+([\w$]+)|^(?:const|let|var)\s+([\w$]+)\s*=\s*(?:\([^()]*\)|[\w$]+)\s*=>/gm,
    ),
  ].at(-1);
  const functionName = name?.[1] ?? name?.[2];
  return functionName === undefined
    ? code
    : code + fill(javascriptHarness(functionName), (text) => JSON.stringify(text));
}

const fill = (harness: string, quote: (text: string) => string): string =>
  harness.replace("PROBES", () => quote(JSON.stringify(probes))).replace("MARK", () => quote(mark));

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.slice(0, 200) ?? "";
