import { useEffect, useRef, useState } from "preact/hooks";
import { hover, useHoveredRow } from "./hover.ts";
import { TableView } from "./table.tsx";

export type HeatMapProps = {
  layer: number;
  steps: readonly number[];
  /** [rows][experts]: multiples of an even load. */
  load: readonly (readonly number[])[];
  theme: number;
};

/** Blue for less than an even load, orange for more: the color-blind tell them apart. */
const scales = {
  light: { less: [0, 92, 168], even: [244, 242, 238], more: [201, 84, 0] },
  dark: { less: [72, 160, 230], even: [36, 40, 44], more: [240, 140, 50] },
};

/** A load this many times an even one, and all above it, has the full color. */
const fullLoad = 2;

function isDark(): boolean {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

/** One layer: a column a row of steps, a line an expert. */
export function HeatMap({ layer, steps, load, theme }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const hovered = useHoveredRow();
  const [expert, setExpert] = useState<number>();
  const rows = load.length;
  const experts = load[0]?.length ?? 0;

  useEffect(() => {
    if (canvas.current !== null && rows > 0) draw(canvas.current, load);
  }, [load, theme]);

  const point = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const place = (at: number, size: number, count: number) =>
      Math.max(0, Math.min(count - 1, Math.floor((at / size) * count)));
    hover.set(place(event.clientX - box.left, box.width, rows));
    setExpert(place(event.clientY - box.top, box.height, experts));
  };
  const leave = () => {
    hover.set(undefined);
    setExpert(undefined);
  };
  const row = Math.min(hovered ?? rows - 1, rows - 1);
  const busiest = load[row]?.indexOf(Math.max(...load[row])) ?? 0;
  const told = expert ?? busiest;

  return (
    <figure class="chart heat">
      <figcaption class="chart-head">
        <h3>Layer {layer + 1}</h3>
        <p class="chart-values">
          <span>
            {expert === undefined ? "busiest: " : ""}expert {told} <b>{(load[row]?.[told] ?? 0).toFixed(2)}×</b>
          </span>
          <span class="chart-step">step {(steps[row] ?? 0).toLocaleString("en")}</span>
        </p>
      </figcaption>
      <div class="heat-frame">
        <div class="heat-experts" aria-hidden="true">
          <span>0</span>
          <span>{Math.max(0, experts - 1)}</span>
        </div>
        <div class="heat-map" style={{ height: `${Math.min(240, Math.max(64, experts * 14))}px` }}>
          <canvas
            ref={canvas}
            role="img"
            aria-label={`Load of the ${experts} experts of layer ${layer + 1} over ${steps.at(-1) ?? 0} steps; the busiest now is expert ${busiest}. The table below has the values.`}
            onPointerMove={point}
            onPointerLeave={leave}
          />
          {hovered !== undefined && rows > 0 && (
            <span class="heat-cursor" style={{ left: `${(100 * (row + 0.5)) / rows}%` }} />
          )}
        </div>
      </div>
      <TableView
        caption={`Load of the experts of layer ${layer + 1}, as a multiple of an even one`}
        heads={["Step", ...Array.from({ length: experts }, (_, index) => `Expert ${index}`)]}
        rows={rows}
        rowOf={(at) => [steps[at]!.toLocaleString("en"), ...load[at]!.map((share) => share.toFixed(2))]}
      />
    </figure>
  );
}

function draw(canvas: HTMLCanvasElement, load: readonly (readonly number[])[]): void {
  const experts = load[0]!.length;
  canvas.width = load.length;
  canvas.height = experts;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(load.length, experts);
  const { less, even, more } = scales[isDark() ? "dark" : "light"];
  for (const [row, shares] of load.entries()) {
    for (const [expert, share] of shares.entries()) {
      const end = share < 1 ? less : more;
      const weight = share < 1 ? 1 - share : Math.min(1, (share - 1) / (fullLoad - 1));
      const at = 4 * (expert * load.length + row);
      for (let channel = 0; channel < 3; channel++) {
        image.data[at + channel] = even[channel]! + weight * (end[channel]! - even[channel]!);
      }
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

export function HeatScale() {
  return (
    <p class="heat-scale">
      <span>no token</span>
      <i aria-hidden="true" />
      <span>{fullLoad}× an even load or more</span>
    </p>
  );
}
