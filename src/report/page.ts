/** A page that stands alone: no address in it but its own anchors, readable in light, in dark and on paper. */
import { darkColors, escapeXml } from "./plot.ts";

const style = `:root{color-scheme:light dark;--ink:#222;--paper:#fff;--grid:#ddd;--axis:#888;--soft:#57606a}
@media(prefers-color-scheme:dark){:root{${Object.entries(darkColors)
  .map(([name, color]) => `--${name}:${color}`)
  .join(";")}}}
@media print{:root{color-scheme:light;--ink:#000;--paper:#fff;--grid:#ccc;--axis:#666;--soft:#333}
body{max-width:none;margin:0;font-size:11px}.plots{grid-template-columns:1fr 1fr}svg,table,h2{break-inside:avoid}h2{break-after:avoid}details{display:none}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(28rem,100%),1fr));gap:1rem}svg{width:100%;height:auto}
.ink{fill:var(--ink)}.paper{fill:var(--paper)}.grid{stroke:var(--grid)}.axis{stroke:var(--axis)}
table{border-collapse:collapse;display:block;overflow-x:auto;margin:.5rem 0}th,td{padding:.25rem .6rem;border-bottom:1px solid var(--grid);text-align:right;vertical-align:top}
th:first-child,td:first-child,.words td,.words th{text-align:left}.words td:not(:first-child){overflow-wrap:anywhere}.note{color:var(--soft)}pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--grid);padding:.5rem}`;

/** @param content HTML: whatever comes from elsewhere has been through `escapeXml`. @param data what the plots were drawn from. */
export function htmlPage(title: string, content: readonly string[], data: object): string {
  // inside a script element only "<" could end it
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title><style>${style}</style></head>
<body>
<h1>${escapeXml(title)}</h1>
${content.filter((part) => part !== "").join("\n")}
<script type="application/json" id="data">${json}</script>
</body>
</html>
`;
}

export function plots(list: readonly string[]): string {
  const drawn = list.filter((svg) => svg !== "");
  return drawn.length === 0 ? "" : `<div class="plots">\n${drawn.join("")}</div>`;
}

export function paragraph(text: string): string {
  return `<p>${escapeXml(text)}</p>`;
}

export function notes(list: readonly string[]): string {
  return list.length === 0 ? "" : `<ul class="note">${list.map((one) => `<li>${escapeXml(one)}</li>`).join("")}</ul>`;
}

const rowOf = (cells: readonly string[], tag: string) =>
  `<tr>${cells.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join("")}</tr>`;

/** @param holds what most columns hold: numbers stand to the right, words to the left. */
export function table(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  holds: "numbers" | "words" = "numbers",
): string {
  const body = rows.map((cells) => rowOf(cells, "td")).join("");
  return `<table${holds === "words" ? ' class="words"' : ""}><thead>${rowOf(heading, "th")}</thead><tbody>${body}</tbody></table>`;
}

/** Names and values, in words. */
export function facts(rows: readonly (readonly [name: string, value: string])[]): string {
  return `<table class="words"><tbody>${rows.map((cells) => rowOf(cells, "td")).join("")}</tbody></table>`;
}
