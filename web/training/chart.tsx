import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { hover, useHoveredRow } from "./hover.ts";
import { TableView } from "./table.tsx";

export type Series = {
  label: string;
  values: readonly (number | null)[];
  /** Measured now and then: points with lines between them. */
  isSparse?: boolean;
};

export type ChartProps = {
  title: string;
  steps: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  isLogarithmic?: boolean;
  /** The axis begins at zero: what counts is how much, not how it differs. */
  isFromZero?: boolean;
  /** What a reader must know to read it. */
  note?: string;
  /** Changes with the theme, whose colors are drawn into the canvas. */
  theme: number;
};

const height = 200;
/** Of the vertical axis, in all charts, so that steps stand one below the other. */
const gutterPixels = 56;
/** Right of the last step, for half of its number. */
const rightPixels = 16;

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** light-dark() is resolved by the browser alone: a probe tells which color it comes to. */
function resolved(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found || color(name);
}

const lineNames = ["--line-a", "--line-b"];
const dashes = [[], [6, 4]];

export function Chart({
  title,
  steps,
  series,
  format,
  isLogarithmic = false,
  isFromZero = false,
  note,
  theme,
}: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const labels = series.map(({ label }) => label).join();

  useEffect(() => {
    const element = frame.current!;
    const made = new uPlot(
      options({ width: element.clientWidth, series, format, isLogarithmic, isFromZero }),
      dataOf(steps, series),
      element,
    );
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    const leave = hover.subscribe((row) => {
      if (made.cursor.idx === row) return;
      const step = row === undefined ? undefined : (made.data[0][row] as number | undefined);
      made.setCursor(
        { left: step === undefined ? -10 : made.valToPos(step, "x"), top: step === undefined ? -10 : 0 },
        false,
      );
    });
    return () => {
      leave();
      resize.disconnect();
      made.destroy();
    };
  }, [theme, labels]);

  useEffect(() => plot.current?.setData(dataOf(steps, series)), [steps, ...series.map(({ values }) => values)]);

  return (
    <figure class="chart">
      <figcaption class="chart-head">
        <h3>{title}</h3>
        <Values {...{ steps, series, format }} />
      </figcaption>
      <div ref={frame} class="plot" role="img" aria-label={summaryOf(title, steps, series, format)} />
      {note !== undefined && <p class="chart-note">{note}</p>}
      <TableView
        caption={title}
        heads={["Step", ...series.map(({ label }) => label)]}
        rows={steps.length}
        rowOf={(row) => [
          steps[row]!.toLocaleString("en"),
          ...series.map(({ values, isSparse }) => {
            const value = isSparse === true ? nearest(values, row) : values[row];
            return typeof value === "number" ? format(value) : "";
          }),
        ]}
      />
    </figure>
  );
}

/** The values at the pointer, or the newest. */
function Values({ steps, series, format }: Pick<ChartProps, "steps" | "series" | "format">) {
  const hovered = useHoveredRow();
  const row = Math.min(hovered ?? steps.length - 1, steps.length - 1);
  return (
    <p class="chart-values">
      {series.map(({ label, values }, index) => {
        const value = hovered === undefined ? values.findLast((one) => one !== null) : nearest(values, row);
        return (
          <span key={label} class={`chart-value line-${index}`}>
            <i aria-hidden="true" />
            {label} <b>{value === undefined || value === null ? "–" : format(value)}</b>
          </span>
        );
      })}
      <span class="chart-step">step {(steps[row] ?? 0).toLocaleString("en")}</span>
    </p>
  );
}

/** Of sparse values, the last one up to there. */
function nearest(values: readonly (number | null)[], row: number): number | undefined {
  for (let at = row; at >= 0; at--) {
    const value = values[at];
    if (typeof value === "number") return value;
  }
  return undefined;
}

function summaryOf(
  title: string,
  steps: readonly number[],
  series: readonly Series[],
  format: (value: number) => string,
): string {
  const parts = series.map(({ label, values }) => {
    const first = values.find((value) => value !== null);
    const last = values.findLast((value) => value !== null);
    if (first === undefined || last === undefined || first === null || last === null) return `${label}: nothing yet`;
    return `${label} from ${format(first)} to ${format(last)}`;
  });
  return `${title}, up to step ${steps.at(-1) ?? 0}. ${parts.join("; ")}. The table below has the values.`;
}

function dataOf(steps: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [[...steps], ...series.map(({ values }) => [...values])];
}

type OptionParts = Pick<ChartProps, "series" | "format"> & {
  width: number;
  isLogarithmic: boolean;
  isFromZero: boolean;
};

function options({ width, series, format, isLogarithmic, isFromZero }: OptionParts): uPlot.Options {
  const [soft, grid] = [resolved("--ink-soft"), resolved("--line")];
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: soft, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  const isPower = (value: number) => Number.isInteger(Math.log10(value));
  const powersAlone = (_: uPlot, splits: number[]) => splits.map((value) => (isPower(value) ? value : null));
  const range: uPlot.Range.Config = {
    min: isFromZero ? { pad: 0, hard: 0, soft: 0, mode: 1 } : { pad: 0.1 },
    max: { pad: 0.1 },
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, rightPixels, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: false }, y: isLogarithmic ? { distr: 3 } : { range } },
    axes: [
      { ...axis, size: 28, space: 80, values: (_, ticks) => ticks.map((step) => step.toLocaleString("en")) },
      {
        ...axis,
        size: gutterPixels,
        ...(isLogarithmic ? { grid: { ...axis.grid, filter: powersAlone } } : {}),
        values: (_, ticks) => ticks.map((value) => (value === null ? "" : format(value))),
      },
    ],
    series: [
      {},
      ...series.map(({ label, isSparse }, index) => ({
        label,
        stroke: resolved(lineNames[index % 2]!),
        width: 1.75,
        dash: dashes[index % 2]!,
        spanGaps: isSparse === true,
        points: { show: isSparse === true, size: 5 },
      })),
    ],
    hooks: {
      setCursor: [(plot) => hover.set(plot.cursor.idx ?? undefined)],
    },
  };
}
