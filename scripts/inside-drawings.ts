/** The drawings of docs/inside.md: boxes and arrows, light or dark as the reader's screen is. Written by `npm run docs`. */
import { escapeXml } from "../src/report/plot.ts";

/** `.b` a box, `.h` one that is looked at, `.s` a small word. */
const style = `text{font:13px system-ui,sans-serif;fill:#1b2733}.paper{fill:#fff}.b{fill:#e8f0f7;stroke:#4a6b8a}.h{fill:#fdeccd;stroke:#b07d2b}
.s{font-size:11px;fill:#51606e}path{fill:none;stroke:#4a6b8a;marker-end:url(#a)}marker path{fill:#4a6b8a;stroke:none;marker-end:none}
@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.paper{fill:#16191d}.b{fill:#1f2f3e;stroke:#7d9dbb}.h{fill:#43341a;stroke:#d2a65c}
.s{fill:#a5b0ba}path{stroke:#7d9dbb}marker path{fill:#7d9dbb}}`;

const arrowHead =
  '<defs><marker id="a" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>';

type Box = { x: number; y: number; width: number; height: number; words: string; small?: string; isMarked?: boolean };

function box({ x, y, width, height, words, small, isMarked = false }: Box): string {
  const [middle, baseline] = [x + width / 2, y + height / 2 + 4];
  return [
    `<rect class="${isMarked ? "h" : "b"}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    text(middle, small === undefined ? baseline : baseline - 7, words, "middle"),
    ...(small === undefined ? [] : [text(middle, baseline + 9, small, "middle", "s")]),
  ].join("");
}

function text(x: number, y: number, words: string, anchor: "start" | "middle", className = ""): string {
  const shown = className === "" ? "" : `class="${className}" `;
  return `<text ${shown}x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(words)}</text>`;
}

const arrow = (path: string, more = "") => `<path d="${path}"${more}/>`;

function drawing(title: string, width: number, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img"><title>${escapeXml(title)}</title>
<style>${style}</style>${arrowHead}
<rect class="paper" width="${width}" height="${height}"/>
${parts.join("\n")}
</svg>
`;
}

function house(): string {
  const floors = [
    "cli",
    "serve · report",
    "align · synth · eval · scaling · bench",
    "train · engine · quant",
    "interop",
    "model · data · formats · tasks · review",
    "tensor · text · endpoint · jobs · sandbox",
    "base · kernels (C)",
  ];
  const parts = floors.map((words, index) => {
    const floor = floors.length - 1 - index;
    const y = 10 + index * 44;
    return (
      text(14, y + 21, String(floor), "start") + box({ x: 40, y, width: 440, height: 34, words, isMarked: floor === 0 })
    );
  });
  return drawing("The floors of the house: each room imports only from floors below it", 500, 370, parts);
}

function training(): string {
  const steps = [
    ["text"],
    ["documents", "filters, split"],
    ["tokens", "shards"],
    ["packed rows", "row starts"],
    ["forward", "tape records"],
    ["backward", "tape, reversed"],
    ["AdamW", "a rate for experts"],
  ] as const;
  const pitch = 118;
  const boxes = steps.map(([words, small], index) =>
    box({ x: 10 + index * pitch, y: 30, width: 102, height: 48, words, ...(small === undefined ? {} : { small }) }),
  );
  const arrows = steps.slice(1).map((_, index) => arrow(`M${112 + index * pitch} 54H${127 + index * pitch}`));
  return drawing("Training: data flows one way", 840, 140, [
    ...boxes,
    ...arrows,
    arrow("M775 78V112H536V80"),
    text(655, 127, "weights, the next step", "middle", "s"),
  ]);
}

function routing(): string {
  const expert = { x: 310, width: 130, height: 34 };
  return drawing("A mixture of experts: a token whose expert is full goes to one with room", 640, 240, [
    box({ x: 10, y: 60, width: 100, height: 40, words: "token x" }),
    box({ x: 150, y: 60, width: 110, height: 40, words: "router", small: "softmax" }),
    box({ ...expert, y: 10, height: 36, words: "shared expert", small: "every token" }),
    box({ ...expert, y: 62, words: "expert 0" }),
    box({ ...expert, y: 104, words: "expert 1: full", isMarked: true }),
    box({ ...expert, y: 146, words: "expert 2: room" }),
    box({ ...expert, y: 188, words: "…" }),
    box({ x: 500, y: 60, width: 120, height: 40, words: "sum", small: "weighed by gates" }),
    arrow("M110 80H148"),
    arrow("M60 60L308 28"),
    arrow("M260 80L308 118"),
    arrow("M442 121C470 121 470 163 442 163", ' stroke-dasharray="4 3"'),
    text(484, 166, "recycled, at random", "start", "s"),
    arrow("M440 28L520 58"),
    arrow("M440 170L540 102"),
  ]);
}

function cache(): string {
  const layers = [0, 1, 2, 3].map((layer) =>
    box({ x: 10, y: 10 + 46 * layer, width: 110, height: 36, words: `layer ${layer}`, small: "4 query heads" }),
  );
  const groups = [0, 1].flatMap((group) => {
    const y = 30 + 92 * group;
    const middle = y + 20;
    const page = { x: 440, width: 80, height: 24 };
    const pages = [["page 3", "page 9"] as const, ["page 4", "page 1"] as const][group]!;
    return [
      box({
        x: 220,
        y,
        width: 150,
        height: 40,
        words: `K, V of group ${group}`,
        small: "2 heads, one copy",
        isMarked: true,
      }),
      arrow(`M120 ${middle - 22}L218 ${middle}`),
      arrow(`M120 ${middle + 24}L218 ${middle}`),
      box({ ...page, y: y - 10, words: pages[0] }),
      box({ ...page, y: y + 18, words: pages[1] }),
      arrow(`M370 ${middle}L438 ${middle - 4}`),
    ];
  });
  return drawing("The cache: one key and value for a group of heads and layers, in pages", 700, 200, [
    ...layers,
    ...groups,
    text(440, 190, "pages: shared between texts that begin alike", "start", "s"),
  ]);
}

/** Each drawing by the name of its file. */
export function insideDrawings(): Map<string, string> {
  return new Map([
    ["house.svg", house()],
    ["training.svg", training()],
    ["routing.svg", routing()],
    ["cache.svg", cache()],
  ]);
}
