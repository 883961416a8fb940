/** The script by which fish completes `rookery`. */
import type { CompletedFlag, Continuation, Values } from "./completion.ts";

/** In quotes a list of fish is one word, and none where it is empty. */
const functions = `function __rookery_after
    set -l words (commandline -poc)
    test "$words[2..]" = "$argv[1]"
end
function __rookery_within
    set -l words (commandline -poc)
    string match -q -- "$argv[1] *" "$words[2..] "
end
function __rookery_runs
    set -l words (commandline -poc)
    set -l folder runs
    if set -l at (contains -i -- --runs-folder $words)
        set folder $words[(math $at + 1)]
    end
    for file in $folder/*/config.json
        path basename (path dirname $file)
    end
end
complete -c rookery -e`;

export function fishScript(continuations: readonly Continuation[]): string {
  const lines = continuations.flatMap(({ after, values, flags }) => {
    const isName = flags.length === 0 || after === "";
    const condition = isName ? `__rookery_after '${after}'` : `__rookery_within '${after}'`;
    return [
      ...(values.found.includes("files") ? [] : [`complete -c rookery -n "${condition}" -f${argument(values)}`]),
      ...flags.map((flag) => `complete -c rookery -n "${condition}" -l ${flag.name.slice(2)}${valueAfter(flag)}`),
    ];
  });
  return `${[functions, ...lines].join("\n")}\n`;
}

/** -x: a value comes next, and no file; -r: a value comes next, and files are offered, too. */
function valueAfter({ values }: CompletedFlag): string {
  if (values === undefined) return "";
  return ` ${values.found.includes("files") ? "-r -F" : "-x"}${argument(values)}`;
}

function argument({ words, found, hasCommas }: Values): string {
  const list = hasCommas && words.length > 0 ? `(__fish_append , ${words.join(" ")})` : words.join(" ");
  const parts = [
    ...(found.includes("runs") ? ["(__rookery_runs)"] : []),
    ...(list === "" ? [] : [list]),
    ...(found.includes("folders") ? ["(__fish_complete_directories)"] : []),
  ];
  return parts.length === 0 ? "" : ` -a '${parts.join(" ")}'`;
}
