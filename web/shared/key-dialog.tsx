import { useState } from "preact/hooks";
import { apiKey } from "./server.ts";
import { useModal } from "./use-modal.ts";

/** Asks for the API key that the server wants; the browser forgets it with the tab. */
export function KeyDialog({ wasWrong, onKey, onLeave }: { wasWrong: boolean; onKey(): void; onLeave(): void }) {
  const dialog = useModal();
  const [key, setKey] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    apiKey.set(key.trim());
    onKey();
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="key-title" onClose={onLeave}>
      <form class="dialog-body" onSubmit={submit}>
        <h2 id="key-title">This server asks for a key</h2>
        <label class="setting">
          <span>API key</span>
          <input
            class="field"
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            aria-describedby="key-help"
            aria-invalid={wasWrong}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
          <small id="key-help">
            {wasWrong ? "The server did not take that key. " : ""}It is kept until this tab closes.
          </small>
        </label>
        <footer class="dialog-foot">
          <button type="submit" class="button primary" disabled={key.trim() === ""}>
            Use this key
          </button>
        </footer>
      </form>
    </dialog>
  );
}
