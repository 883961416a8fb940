/** Completion for shells, made of the table of commands: which words can follow which. */
import type { CommandEntry } from "./commands.ts";
import { commonFlags, flagsOf } from "./flags.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** What can stand after `rookery` and these words; all words are letters, digits and dashes. */
type Continuation = { after: string; words: string[] };

/** The script that a shell reads to complete `rookery`. Where no word of ours can follow, files are completed. */
export async function completionScript(shell: Shell, table: readonly CommandEntry[]): Promise<string> {
  const continuations = await continuationsOf(table);
  if (shell === "fish") return fishScript(continuations);
  const head = shell === "zsh" ? "autoload -U +X compinit bashcompinit && compinit -u && bashcompinit\n" : "";
  return head + bashScript(continuations);
}

async function continuationsOf(table: readonly CommandEntry[]): Promise<Continuation[]> {
  const firstWords = [...new Set(table.map(({ name }) => name.split(" ")[0]!))];
  const groups = firstWords.flatMap((first) => {
    const seconds = table.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name.split(" ")[1]!);
    return seconds.length > 0 ? [{ after: first, words: seconds }] : [];
  });
  const flags = table.map(async (entry) => {
    const { command } = await entry.load();
    const own = flagsOf(command.schema, command.positionals).flatMap((flag) => {
      const isOn = flag.isBoolean && flag.schema.default === true;
      return isOn ? [`--no-${flag.name}`] : [`--${flag.name}`];
    });
    return { after: entry.name, words: [...own, ...commonFlags.map(({ name }) => `--${name}`)] };
  });
  return [{ after: "", words: [...firstWords, "--help", "--version"] }, ...groups, ...(await Promise.all(flags))];
}

function bashScript(continuations: readonly Continuation[]): string {
  // a command of two words is looked for before its group
  const cases = [...continuations]
    .filter(({ after }) => after !== "")
    .sort((a, b) => b.after.length - a.after.length)
    .map(({ after, words }) => `    "${after} "*) words="${words.join(" ")}" ;;`);
  // flags are offered only where one is begun: elsewhere a value or a file is more likely
  return `_rookery() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  local before="\${COMP_WORDS[*]:1:$((COMP_CWORD - 1))} "
  case "$before" in
${cases.join("\n")}
    *) words="${continuations[0]!.words.join(" ")}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ $current != -* && $words == --* ]]; then COMPREPLY=(); fi
}
complete -o default -F _rookery rookery
`;
}

/** In quotes a list of fish is one word, and none where it is empty. */
const fishConditions = `function __rookery_after
    set -l words (commandline -poc)
    test "$words[2..]" = "$argv[1]"
end
function __rookery_within
    set -l words (commandline -poc)
    string match -q -- "$argv[1] *" "$words[2..] "
end
complete -c rookery -e`;

function fishScript(continuations: readonly Continuation[]): string {
  const lines = continuations.map(({ after, words }) => {
    const flags = words.filter((word) => word.startsWith("--")).map((word) => `-l ${word.slice(2)}`);
    const plain = words.filter((word) => !word.startsWith("--"));
    const begins = after === "" ? "__rookery_after ''" : `__rookery_within '${after}'`;
    return [
      ...(plain.length > 0 ? [`complete -c rookery -n "__rookery_after '${after}'" -f -a '${plain.join(" ")}'`] : []),
      ...flags.map((flag) => `complete -c rookery -n "${begins}" ${flag}`),
    ];
  });
  return `${[fishConditions, ...lines.flat()].join("\n")}\n`;
}
