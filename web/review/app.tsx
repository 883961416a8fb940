import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ReviewDecision, ReviewItemView, ReviewState } from "../../src/serve/review-wire.ts";
import { ask, postJson } from "../shared/server.ts";
import { ThemeButton } from "../shared/theme.tsx";

/** Which text of the record is being changed, and to what, by its place in the list of texts. */
type Draft = Record<number, string>;

export function App() {
  const [state, setState] = useState<ReviewState>();
  const [failure, setFailure] = useState("");
  const [draft, setDraft] = useState<Draft>();
  const [isBusy, setBusy] = useState(false);
  const lastDecided = useRef<number[]>([]);

  const load = useCallback(async (request: () => Promise<Response>) => {
    setBusy(true);
    try {
      setState((await (await request()).json()) as ReviewState);
      setDraft(undefined);
      setFailure("");
      scrollTo(0, 0);
      return true;
    } catch (error) {
      setFailure((error as Error).message);
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  const show = useCallback(
    (index?: number) => load(() => ask(index === undefined ? "review/state" : `review/state?index=${index}`)),
    [load],
  );
  useEffect(() => {
    show();
  }, [show]);

  const item = state?.item ?? undefined;
  const decide = async (action: ReviewDecision["action"]) => {
    if (item === undefined || isBusy) return;
    const edits =
      action === "edit"
        ? item.fields.flatMap(({ path, text }, at) => {
            const changed = draft?.[at];
            return changed === undefined || changed === text ? [] : [{ path, text: changed }];
          })
        : [];
    if (action === "edit" && edits.length === 0) {
      setDraft(undefined);
      return;
    }
    const body: ReviewDecision = { key: item.key, action, ...(edits.length > 0 ? { edits } : {}) };
    if (await load(() => postJson("review/decisions", body))) {
      if (action !== "undo") lastDecided.current.push(item.index);
    }
  };
  const goBack = () => {
    const index = lastDecided.current.pop();
    if (index !== undefined) show(index);
  };
  const step = (by: number) => {
    if (state === undefined) return;
    const { total } = state.progress;
    show(((item?.index ?? 0) + by + total) % total);
  };

  // before the record is painted: a key must never meet the decisions of the one before
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (draft !== undefined) {
        if (event.key === "Escape") setDraft(undefined);
        else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) decide("edit");
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        a: () => decide("accept"),
        r: () => decide("reject"),
        e: () => item && setDraft({}),
        u: () => item?.decision && decide("undo"),
        b: goBack,
        n: () => step(1),
        ArrowRight: () => step(1),
        p: () => step(-1),
        ArrowLeft: () => step(-1),
      }[event.key];
      if (act === undefined) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  return (
    <div class="review">
      <header class="review-top">
        <p class="wordmark">Rookery</p>
        {state && <Progress state={state} />}
        <ThemeButton />
      </header>
      {failure !== "" && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <main>
        {state === undefined ? (
          <p class="waiting">Asking for the queue</p>
        ) : item === undefined ? (
          <Done state={state} onBack={() => show(state.progress.total - 1)} />
        ) : (
          <Item key={item.key} item={item} draft={draft} onDraft={setDraft} />
        )}
      </main>
      {item && (
        <footer class="actions">
          {draft === undefined ? (
            <>
              <Action name="Accept" keyName="a" isPrimary onClick={() => decide("accept")} />
              <Action name="Reject" keyName="r" onClick={() => decide("reject")} />
              <Action name="Edit" keyName="e" onClick={() => setDraft({})} />
              <Action name="Take back" keyName="u" isOff={!item.decision} onClick={() => decide("undo")} />
              <span class="gap" />
              <Action name="Previous" keyName="p" onClick={() => step(-1)} />
              <Action name="Next" keyName="n" onClick={() => step(1)} />
              <Action name="Last decided" keyName="b" isOff={lastDecided.current.length === 0} onClick={goBack} />
            </>
          ) : (
            <>
              <Action name="Accept as edited" keyName="Ctrl Enter" isPrimary onClick={() => decide("edit")} />
              <Action name="Leave as it was" keyName="Esc" onClick={() => setDraft(undefined)} />
            </>
          )}
        </footer>
      )}
    </div>
  );
}

type ActionProps = { name: string; keyName: string; isPrimary?: boolean; isOff?: boolean; onClick: () => void };

function Action({ name, keyName, isPrimary = false, isOff = false, onClick }: ActionProps) {
  return (
    <button type="button" class={isPrimary ? "button primary" : "button"} disabled={isOff} onClick={onClick}>
      {name} <kbd>{keyName}</kbd>
    </button>
  );
}

function Progress({ state: { progress, file } }: { state: ReviewState }) {
  const { total, accepted, edited, rejected, left } = progress;
  return (
    <div class="queue-progress">
      <p>
        <b>{file.split(/[\\/]/).at(-1)}</b> {left} of {total} left · {accepted} accepted · {edited} edited · {rejected}{" "}
        rejected
      </p>
      <progress max={total} value={total - left} aria-label={`${total - left} of ${total} decided`} />
    </div>
  );
}

function Done({ state, onBack }: { state: ReviewState; onBack: () => void }) {
  const { accepted, edited } = state.progress;
  return (
    <div class="done">
      <h1>All decided</h1>
      <p>
        {accepted + edited} records are accepted. Stop the server with Ctrl-C; with <code>--out</code> it writes them.
      </p>
      <button type="button" class="button" onClick={onBack}>
        Look at the last one
      </button>
    </div>
  );
}

const decisionWords = { accept: "accepted", reject: "rejected", edit: "accepted as edited", undo: "" };

function Item({
  item,
  draft,
  onDraft,
}: {
  item: ReviewItemView;
  draft: Draft | undefined;
  onDraft: (draft: Draft) => void;
}) {
  const { index, line, why, fields, facts, decision } = item;
  return (
    <article class="record" aria-label={`Record ${index + 1}`}>
      <p class="place">
        Record {index + 1}, line {line}
        {decision && <span class={`decision is-${decision}`}>{decisionWords[decision]}</span>}
      </p>
      {why && (
        <p class="why">
          <b>{why.reason}</b> <span dir="auto">{why.detail}</span>
        </p>
      )}
      {fields.map(({ label, text }, at) => (
        // a field is its place
        <section key={`field ${at}`} class={`text is-${label}`}>
          <h2>{label}</h2>
          {draft === undefined ? (
            <p dir="auto">{text}</p>
          ) : (
            <textarea
              class="field"
              dir="auto"
              aria-label={label}
              rows={Math.min(24, Math.max(2, text.split("\n").length + Math.ceil(text.length / 90)))}
              value={draft[at] ?? text}
              onInput={(event) => onDraft({ ...draft, [at]: event.currentTarget.value })}
            />
          )}
        </section>
      ))}
      {facts.length > 0 && <p class="facts">{facts.join(" · ")}</p>}
    </article>
  );
}
