import { IconClose } from "../shared/icons.tsx";
import { useModal } from "../shared/use-modal.ts";
import type { Sampling } from "./conversation.ts";
import { useChat } from "./use-chat.ts";

type NumberField = {
  key: keyof Sampling;
  label: string;
  help: string;
  min: number;
  max: number;
  step: number;
};

const fields: readonly NumberField[] = [
  { key: "temperature", label: "Temperature", help: "0 always takes the likeliest token", min: 0, max: 2, step: 0.1 },
  {
    key: "top_p",
    label: "Top-p",
    help: "the likeliest tokens with this probability together",
    min: 0,
    max: 1,
    step: 0.05,
  },
  { key: "top_k", label: "Top-k", help: "this many likeliest tokens", min: 1, max: 1000, step: 1 },
  { key: "min_p", label: "Min-p", help: "no token below this share of the likeliest", min: 0, max: 1, step: 0.01 },
  {
    key: "repetition_penalty",
    label: "Repetition penalty",
    help: "above 1, what was said is said less",
    min: 1,
    max: 2,
    step: 0.05,
  },
  { key: "max_tokens", label: "Longest answer", help: "tokens", min: 1, max: 1_000_000, step: 1 },
  { key: "seed", label: "Seed", help: "the same seed, the same answer", min: 0, max: 2 ** 31 - 1, step: 1 },
];

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const chat = useChat();
  const dialog = useModal();
  const { sampling, systemPrompt, recordsExperts } = chat.current;
  const set = (key: keyof Sampling, text: string) => {
    const next = { ...sampling };
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value)) delete next[key];
    else next[key] = value;
    chat.update({ sampling: next });
  };
  return (
    <dialog ref={dialog} class="dialog settings" aria-labelledby="settings-title" onClose={onClose}>
      <form method="dialog" class="dialog-body">
        <header class="dialog-head">
          <h2 id="settings-title">Settings of this conversation</h2>
          <button type="submit" class="icon-button" aria-label="Close">
            <IconClose />
          </button>
        </header>
        <label class="setting">
          <span>System prompt</span>
          <textarea
            class="field"
            rows={4}
            dir="auto"
            placeholder="What the model should be and do"
            value={systemPrompt}
            onInput={(event) => chat.update({ systemPrompt: event.currentTarget.value })}
          />
        </label>
        <div class="setting-grid">
          {fields.map(({ key, label, help, min, max, step }) => (
            <label class="setting" key={key}>
              <span>{label}</span>
              <input
                class="field"
                type="number"
                inputMode="decimal"
                placeholder="the server's"
                {...{ min, max, step }}
                value={sampling[key] ?? ""}
                aria-describedby={`help-${key}`}
                onInput={(event) => set(key, event.currentTarget.value)}
              />
              <small id={`help-${key}`}>{help}</small>
            </label>
          ))}
        </div>
        <label class="check">
          <input
            type="checkbox"
            checked={recordsExperts}
            onChange={(event) => chat.update({ recordsExperts: event.currentTarget.checked })}
          />
          <span>
            Record which experts handle each token <small>(everything is then read anew for each answer)</small>
          </span>
        </label>
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={() => chat.update({ sampling: {} })}>
            Back to the server's settings
          </button>
          <button type="submit" class="button primary">
            Done
          </button>
        </footer>
      </form>
    </dialog>
  );
}
