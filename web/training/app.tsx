import { useEffect, useMemo, useState } from "preact/hooks";
import type { TrainingSnapshot, TrainingStretch } from "../../src/serve/training-wire.ts";
import { KeyDialog } from "../shared/key-dialog.tsx";
import { ThemeButton } from "../shared/theme.tsx";
import { Chart } from "./chart.tsx";
import { HeatMap, HeatScale } from "./heat-map.tsx";
import { useRun } from "./run.ts";
import { compact, digits, duration, gigabytes, percent, rate, significant } from "./text.ts";

const hasChatPage = document.documentElement.dataset.otherPage === "true";

export function App() {
  const { snapshot, connection, retry } = useRun();
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setTheme((count) => count + 1);
    system.addEventListener("change", change);
    return () => system.removeEventListener("change", change);
  }, []);
  useEffect(() => {
    document.title = snapshot === undefined ? "Training · Rookery" : `${snapshot.name} · Rookery`;
  }, [snapshot?.name]);

  return (
    <div class="training">
      <header class="training-top">
        <p class="wordmark">Rookery</p>
        {hasChatPage && (
          <a class="button" href="./">
            Chat
          </a>
        )}
        <ThemeButton onChange={() => setTheme((count) => count + 1)} />
      </header>
      {connection.kind === "lost" && (
        <p class="connection" role="alert">
          {connection.message} Trying again.
        </p>
      )}
      {connection.kind === "locked" && <KeyDialog wasWrong={connection.wasKeyWrong} onKey={retry} onLeave={() => {}} />}
      <main id="main">
        {snapshot === undefined ? (
          <p class="waiting">Asking for the run</p>
        ) : (
          <Overview snapshot={snapshot} theme={theme} />
        )}
      </main>
    </div>
  );
}

const statusWords = { running: "Running", finished: "Finished", stopped: "Stopped" };

function Overview({ snapshot, theme }: { snapshot: TrainingSnapshot; theme: number }) {
  const { name, status, totalSteps, rows, settings } = snapshot;
  const step = rows.step.at(-1) ?? 0;
  return (
    <>
      <section class="overview" aria-label="The run">
        <h1>
          {name} <span class={`status is-${status}`}>{statusWords[status]}</span>
        </h1>
        <p class="settings-line">
          {Object.entries(settings).map(([key, value]) => (
            <span key={key}>
              {spaced(key)} <b>{typeof value === "number" ? digits(value) : String(value)}</b>
            </span>
          ))}
        </p>
        {totalSteps !== null && (
          <progress class="progress" max={totalSteps} value={step} aria-label={`Step ${step} of ${totalSteps}`} />
        )}
        {snapshot.stretches.length > 0 && <Stretches stretches={snapshot.stretches} step={step} />}
        <Figures snapshot={snapshot} />
      </section>
      {rows.step.length === 0 ? (
        <p class="waiting">The first step is on its way.</p>
      ) : (
        <>
          <Charts snapshot={snapshot} theme={theme} />
          {rows.load.length > 0 && (
            <section aria-labelledby="load-title">
              <div class="section-head">
                <h2 id="load-title">Load of each expert</h2>
                <HeatScale />
              </div>
              <div class="charts">
                {rows.load.map((load, layer) => (
                  // a layer is its index
                  <HeatMap key={`layer ${layer}`} layer={layer} steps={rows.step} load={load} theme={theme} />
                ))}
              </div>
            </section>
          )}
        </>
      )}
    </>
  );
}

/** Pre-training and the stages behind it: which is on, and what each changes. */
function Stretches({ stretches, step }: { stretches: TrainingStretch[]; step: number }) {
  return (
    <ol class="stretches" aria-label="Stages">
      {stretches.map(({ name, firstStep, lastStep, sequenceLength, ropeTheta, ropeAlpha }) => {
        const state = step >= lastStep ? "done" : step >= firstStep - 1 ? "now" : "next";
        return (
          <li key={firstStep} class={`is-${state}`} aria-current={state === "now" ? "step" : undefined}>
            <b>{name}</b> {state === "done" ? "done" : state === "now" ? "on" : "to come"}
            <span>
              steps {digits(firstStep)} to {digits(lastStep)}, rows of {digits(sequenceLength)} tokens
              {ropeTheta !== null && `, RoPE base ${compact(ropeTheta)}`}
              {ropeAlpha !== null && `, NTK alpha ${compact(ropeAlpha)}`}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

/** Tokens that are still to be read. */
function tokensLeft({ stretches, totalSteps, settings }: TrainingSnapshot, step: number): number {
  if (stretches.length === 0)
    return totalSteps === null ? Number.NaN : (totalSteps - step) * Number(settings.batchTokens);
  return stretches.reduce((sum, { firstStep, lastStep, batchTokens }) => {
    return sum + Math.max(0, lastStep - Math.max(step, firstStep - 1)) * batchTokens;
  }, 0);
}

/** `batchTokens` → "batch tokens". */
const spaced = (key: string) => key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function Figures({ snapshot }: { snapshot: TrainingSnapshot }) {
  const { rows, evaluations, totalSteps, tokens, status } = snapshot;
  const step = rows.step.at(-1) ?? 0;
  const speeds = rows.tokensPerSecond.slice(-20).filter((speed) => speed !== null);
  const speed = speeds.reduce((sum, one) => sum + one, 0) / speeds.length;
  const secondsLeft = tokensLeft(snapshot, step) / speed;
  const loss = rows.loss.at(-1);
  const memory = rows.peakMemoryBytes.at(-1);
  const figures: [label: string, value: string][] = [
    ["step", totalSteps === null ? digits(step) : `${digits(step)} of ${digits(totalSteps)}`],
    ["held-out bits per byte", evaluations.at(-1)?.bitsPerByte.toFixed(3) ?? "–"],
    ["loss", typeof loss === "number" ? loss.toFixed(3) : "–"],
    ["tokens read", compact(tokens)],
    ["tokens/s", Number.isFinite(speed) ? compact(speed) : "–"],
  ];
  if (typeof memory === "number") figures.push(["memory at most", gigabytes(memory)]);
  if (status === "running") figures.push(["to go", Number.isFinite(secondsLeft) ? duration(secondsLeft) : "–"]);
  return (
    <dl class="figures">
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Charts({ snapshot, theme }: { snapshot: TrainingSnapshot; theme: number }) {
  const { rows, evaluations } = snapshot;
  const steps = rows.step;
  const bits = useMemo(() => bitsPerByte(snapshot), [snapshot]);
  const heldOutLoss = useMemo(
    () => atRows(steps, evaluations, ({ crossEntropy }) => crossEntropy),
    [steps, evaluations],
  );
  const common = { steps, theme };
  // runs of the first version did not write it down
  const hasMemory = rows.peakMemoryBytes.some((bytes) => bytes !== null);
  const hasDropped = rows.droppedShare.some((share) => share !== null && share > 0);
  return (
    <section aria-labelledby="curves-title">
      <div class="section-head">
        <h2 id="curves-title">How it learns</h2>
      </div>
      <div class="charts">
        <Chart
          {...common}
          title="Bits per byte"
          format={(value) => value.toFixed(2)}
          series={[
            { label: "training", values: bits.training },
            { label: "held out", values: bits.heldOut, isSparse: true },
          ]}
          note={
            evaluations.length === 0
              ? "Waits for the first measurement on held-out text."
              : "Training: from its loss, at as many bytes a token as the held-out text has."
          }
        />
        <Chart
          {...common}
          title="Loss, nats a token"
          format={(value) => value.toFixed(2)}
          series={[
            { label: "training", values: rows.loss },
            { label: "held out", values: heldOutLoss, isSparse: true },
          ]}
        />
        <Chart
          {...common}
          title="Learning rate"
          format={rate}
          series={[
            { label: "dense", values: rows.learningRate },
            { label: "experts", values: rows.expertLearningRate },
          ]}
        />
        <Chart
          {...common}
          title="Gradient norm"
          format={(value) => (value >= 100 ? compact(value) : String(Number(significant(value))))}
          isLogarithmic
          series={[{ label: "before clipping", values: rows.gradientNorm }]}
        />
        <Chart
          {...common}
          title="Tokens over capacity"
          format={percent}
          isFromZero
          series={[
            { label: "recycled", values: rows.recycledShare },
            { label: "dropped", values: rows.droppedShare },
          ]}
          {...(hasDropped ? {} : { note: "No token was dropped." })}
        />
        <Chart
          {...common}
          title="Speed, tokens/s"
          format={compact}
          isFromZero
          series={[{ label: "training", values: rows.tokensPerSecond }]}
        />
        {hasMemory && (
          <Chart
            {...common}
            title="Memory, GB"
            isFromZero
            format={(value) => value.toFixed(2)}
            series={[
              {
                label: "the most so far",
                values: rows.peakMemoryBytes.map((bytes) => (bytes === null ? null : bytes / 1e9)),
              },
            ]}
          />
        )}
      </div>
    </section>
  );
}

/** Values of measurements at the rows that hold their steps. */
function atRows<Evaluation extends { step: number }>(
  steps: readonly number[],
  evaluations: readonly Evaluation[],
  measured: (evaluation: Evaluation) => number,
): (number | null)[] {
  const values: (number | null)[] = steps.map(() => null);
  let row = 0;
  for (const evaluation of evaluations) {
    while (row < steps.length - 1 && steps[row]! < evaluation.step) row++;
    if (row < values.length) values[row] = measured(evaluation);
  }
  return values;
}

/** The trainer knows its loss a token only; the bytes a token of held-out text turn it into bits a byte. */
function bitsPerByte({ rows, evaluations }: TrainingSnapshot) {
  const last = evaluations.at(-1);
  const factor = last === undefined ? Number.NaN : last.bitsPerByte / last.crossEntropy;
  return {
    training: rows.loss.map((loss) => (loss === null || !Number.isFinite(factor) ? null : loss * factor)),
    heldOut: atRows(rows.step, evaluations, (evaluation) => evaluation.bitsPerByte),
  };
}
