/**
 * Final answers of mathematics: where they stand in a solution, and whether two of them are the same however they are typeset.
 * This follows what is usually done for MATH (Hendrycks et al., 2021): the last \boxed, then comparison of normal forms; numbers
 * that are equal are equal in any form.
 */

/** What is inside the last `\boxed{…}` (or \fbox), braces matched. */
export function lastBoxed(text: string): string | undefined {
  const start = Math.max(text.lastIndexOf("\\boxed"), text.lastIndexOf("\\fbox"));
  if (start < 0) return undefined;
  const open = /^\\(?:boxed|fbox)\s*\{/.exec(text.slice(start));
  // "\boxed 7" has no braces
  if (!open) return /^\\(?:boxed|fbox)\s+([^\s$]+)/.exec(text.slice(start))?.[1];
  let depth = 1;
  for (let at = start + open[0].length; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return text.slice(start + open[0].length, at);
  }
  return undefined;
}

/** The final answer of a solution: what is boxed; else what is said to be the answer; else the last formula, the last number. */
export function finalAnswer(solution: string): string {
  const boxed = lastBoxed(solution);
  if (boxed !== undefined) return boxed;
  // a bare expression: no words but commands
  if (!/(?:^|[^\\a-z])[a-z]{2,}|[\n$\p{sc=Han}]/iu.test(solution)) return solution.trim();
  const said = [
    ...solution.matchAll(
      /(?:answer(?: is|:)|答案(?:是|为|：|:))\s*\$?([^\n$]+?)\$?\s*(?:[.。]\s*(?:\n|$|I hope)|\n|$)/gi,
    ),
  ].at(-1);
  if (said) return said[1]!;
  const formula = [...solution.matchAll(/\$([^$\n]+)\$/g)].at(-1)?.[1];
  if (formula !== undefined) return formula;
  return [...solution.matchAll(/-?\d[\d,]*(?:\.\d+)?(?:\/\d+)?/g)].at(-1)?.[0] ?? solution.trim();
}

/** @param answer a solution, or a bare answer. @param reference likewise. */
export function sameMathAnswer(answer: string, reference: string): boolean {
  const found = normalForm(finalAnswer(answer));
  const right = normalForm(finalAnswer(reference));
  if (found === right) return true;
  const [a, b] = [numberOf(found), numberOf(right)];
  return a !== undefined && b !== undefined && Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
}

function normalForm(text: string): string {
  return (
    text
      .normalize("NFKC")
      .trim()
      .replace(/^\$+|\$+$/g, "")
      .replace(/\\(?:left|right|displaystyle|limits)(?![a-zA-Z])/g, "")
      .replace(/\\[!,;:]|\\ |~|\\q?quad\b/g, "")
      .replace(/\\[dt]frac/g, "\\frac")
      .replace(/\\(?:mathrm|text|textbf|mbox|mathbf)\s*\{([^{}]*)\}/g, "$1")
      .replace(/\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree|°/g, "")
      .replace(/\\?[%$]/g, "")
      .replace(/\\cdot|\\times|×/g, "*")
      .replace(/\\le(?:q)?(?![a-zA-Z])/g, "≤")
      .replace(/\\ge(?:q)?(?![a-zA-Z])/g, "≥")
      .replace(/\\pi(?![a-zA-Z])/g, "π")
      // \frac12, \frac1{72}, \sqrt3 leave out braces
      .replace(/\\frac\s*(\d)\s*(\d)/g, "\\frac{$1}{$2}")
      .replace(/\\frac\s*(\d)\s*\{/g, "\\frac{$1}{")
      .replace(/\\frac\s*\{([^{}]*)\}\s*(\d)/g, "\\frac{$1}{$2}")
      .replace(/\\sqrt\s*([\da-z])/g, "\\sqrt{$1}")
      .replace(/^[a-z]\s*(?:=|\\in)\s*/i, "")
      .replace(/(\d),(?=\d{3}(?!\d))/g, "$1")
      .replace(
        /(?<=\d)\s*(?:units?|degrees?|dollars?|cents?|cm|inches|feet|meters?|hours?|minutes?|square\s*\w*)(?:\^\{?\d\}?)?$/i,
        "",
      )
      .replace(/\s+/g, "")
      .replace(/(^|[^\d])\.(\d)/g, "$10.$2")
      .replace(/(\.\d*?)0+$/, "$1")
      .replace(/\.$/, "")
  );
}

/** The value of a number, a fraction, a mixed number or a power of ten; undefined for anything else. */
function numberOf(text: string): number | undefined {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  const fraction = /^(-?)(\d*)(?:\\frac\{(-?\d+(?:\.\d+)?)\}\{(\d+(?:\.\d+)?)\})$/.exec(text);
  if (fraction) {
    const [, sign, whole, top, bottom] = fraction;
    const value = Number(whole || 0) + Number(top) / Number(bottom);
    return sign === "-" ? -value : value;
  }
  const slashed = /^(-?\d+(?:\.\d+)?)\/(\d+(?:\.\d+)?)$/.exec(text);
  if (slashed) return Number(slashed[1]) / Number(slashed[2]);
  const power = /^(-?\d+(?:\.\d+)?)\*10\^\{?(-?\d+)\}?$/.exec(text);
  return power ? Number(power[1]) * 10 ** Number(power[2]) : undefined;
}
