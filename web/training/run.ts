/** The run that the server shows: a snapshot first, then what is added to it. */
import { useEffect, useState } from "preact/hooks";
import type { TrainingRows, TrainingSnapshot, TrainingUpdate } from "../../src/serve/training-wire.ts";
import { ask, ServerError, serverSentEvents } from "../shared/server.ts";

export type Connection =
  | { kind: "open" }
  | { kind: "lost"; message: string }
  | { kind: "locked"; wasKeyWrong: boolean };

export type Run = {
  snapshot: TrainingSnapshot | undefined;
  connection: Connection;
  /** Asks again at once. */
  retry(): void;
};

const retryMilliseconds = 3000;

export function useRun(): Run {
  const [snapshot, setSnapshot] = useState<TrainingSnapshot>();
  const [connection, setConnection] = useState<Connection>({ kind: "open" });
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const follow = async () => {
      try {
        const response = await ask("training/events", { signal: abort.signal });
        setConnection({ kind: "open" });
        for await (const { event, data } of serverSentEvents(response, abort.signal)) {
          if (event === "snapshot") setSnapshot(JSON.parse(data) as TrainingSnapshot);
          else if (event === "rows") {
            const update = JSON.parse(data) as TrainingUpdate;
            setSnapshot((known) => known && extended(known, update));
          }
        }
        throw new ServerError(0, "The server has ended the connection.");
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof ServerError && error.status === 401) {
          setConnection((before) => ({ kind: "locked", wasKeyWrong: before.kind === "locked" }));
          return;
        }
        setConnection({ kind: "lost", message: (error as Error).message });
        timer = setTimeout(() => setAttempt(attempt + 1), retryMilliseconds);
      }
    };
    void follow();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [attempt]);

  return { snapshot, connection, retry: () => setAttempt(attempt + 1) };
}

function extended(snapshot: TrainingSnapshot, { tokens, rows, evaluations }: TrainingUpdate): TrainingSnapshot {
  const columns = Object.entries(rows).map(([name, added]) => {
    const known = snapshot.rows[name as keyof TrainingRows];
    if (name !== "load") return [name, [...(known as unknown[]), ...added]];
    const layers = snapshot.rows.load.length === 0 ? rows.load.map(() => []) : snapshot.rows.load;
    return [name, layers.map((layer, index) => [...layer, ...(rows.load[index] ?? [])])];
  });
  return {
    ...snapshot,
    tokens,
    rows: Object.fromEntries(columns) as TrainingRows,
    evaluations: [...snapshot.evaluations, ...evaluations],
  };
}
