/** The script by which bash completes `rookery`; zsh reads the same, through its bashcompinit. */
import type { CompletedFlag, Continuation, Values } from "./completion.ts";

export function bashScript(continuations: readonly Continuation[]): string {
  // a command of two words is looked for before its group
  const cases = [...continuations]
    .sort((a, b) => b.after.length - a.after.length)
    .flatMap((one) => [
      `    ${one.after === "" ? "*" : `"${one.after} "*`})`,
      `      flags="${one.flags.map(({ name }) => name).join(" ")}"`,
      '      case "$between:$flag" in',
      ...valueCases(one.flags),
      `        *) ${assignments(one.values)} ;;`,
      "      esac ;;",
    ]);
  return `_rookery() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[*]:1:$((COMP_CWORD - 1))} "
  local flag="" between=0 runs=runs flags="" words="" found="" list="" start="" word i
  # the flag before the cursor, and how many words stand between
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == --* ]]; then
      flag="\${word%%=*}"
      between=0
      if [[ $word == *=* ]]; then between=1; fi
    elif [[ $word != "=" ]]; then
      between=$((between + 1))
    fi
    if [[ $flag == --runs-folder && $between == 1 ]]; then runs="\${word#*=}"; fi
  done
  # bash takes --flag=value apart, zsh does not
  if [[ $current == "=" ]]; then current=""; fi
  if [[ $current == --*=* ]]; then
    flag="\${current%%=*}"
    between=0
    start="$flag="
    current="\${current#*=}"
  fi
  case "$before" in
${cases.join("\n")}
  esac
  if [[ $current == -* && -z $start ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
    return
  fi
  if [[ $found == *runs* ]]; then
    for word in "$runs"/*/config.json; do
      word="\${word%/config.json}"
      if [[ -e $word/config.json ]]; then words="$words \${word##*/}"; fi
    done
  fi
  if [[ -n $list && $current == *,* ]]; then
    start="$start\${current%,*},"
    current="\${current##*,}"
  fi
  COMPREPLY=($(compgen -P "$start" -W "$words" -- "$current"))
  if [[ $found == *folders* ]]; then
    local IFS=$'\\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen -P "$start" -d -- "$current"))
  fi
  # where nothing is offered, the shell offers files
  if [[ $found != *files* ]]; then compopt +o default 2>/dev/null; fi
}
complete -o default -F _rookery rookery
`;
}

/** Flags with the same values share a line. */
function valueCases(flags: readonly CompletedFlag[]): string[] {
  const byValues = Map.groupBy(
    flags.flatMap(({ name, values, isOpen }) =>
      values === undefined ? [] : [{ pattern: `${isOpen ? "*" : "0"}:${name}`, set: assignments(values) }],
    ),
    ({ set }) => set,
  );
  return [...byValues].map(([set, ones]) => `        ${ones.map(({ pattern }) => pattern).join("|")}) ${set} ;;`);
}

function assignments({ words, found, hasCommas }: Values): string {
  const parts = [
    ...(words.length > 0 ? [`words="${words.join(" ")}"`] : []),
    ...(found.length > 0 ? [`found="${found.join(" ")}"`] : []),
    ...(hasCommas ? ["list=1"] : []),
  ];
  return parts.length === 0 ? ":" : parts.join(" ");
}
