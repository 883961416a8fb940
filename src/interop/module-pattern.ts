/**
 * A pattern of modules as quantizers write them after "re:", matched from the start of a name as Python's re.match does:
 * letters, `\.`, `.` for any one character, `.*` for any, and `$` at the end. null for anything else: files are not ours, and
 * a regular expression of theirs could run for ever.
 */
export function modulePattern(source: string): ((name: string) => boolean) | null {
  if (source.length > 256) return null;
  const isWhole = source.endsWith("$");
  const body = source.replace(/^\^/, "").replace(/\$$/, "");
  const pieces = body.split(".*").map(readPiece);
  if (pieces.some((piece) => piece === null)) return null;
  const [first = [], ...rest] = pieces as (string | null)[][];
  return (name) => {
    if (!fits(first, name, 0)) return false;
    let at = first.length;
    for (const [index, piece] of rest.entries()) {
      if (isWhole && index === rest.length - 1) {
        const last = name.length - piece.length;
        return last >= at && fits(piece, name, last);
      }
      // the leftmost place leaves the most for what follows
      while (!fits(piece, name, at)) if (++at > name.length) return false;
      at += piece.length;
    }
    return !isWhole || at === name.length;
  };
}

/** The characters of a piece, null for any one; or null for what is no such piece. */
function readPiece(text: string): (string | null)[] | null {
  if (!/^(?:[\w-]|\\\.|\.)*$/.test(text)) return null;
  return (text.match(/\\\.|./g) ?? []).map((part) => (part === "\\." ? "." : part === "." ? null : part));
}

function fits(piece: readonly (string | null)[], name: string, at: number): boolean {
  return at + piece.length <= name.length && piece.every((part, index) => part === null || part === name[at + index]);
}
