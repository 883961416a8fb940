/** Which expert handled each token: the text of one answer, colored and numbered by the experts of one layer. */
import { memo } from "preact/compat";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type TokenExperts, titleOf } from "./conversation.ts";
import { useChat } from "./use-chat.ts";

/** Drawn at once; the rest on demand, so that a long document does not stop the page. */
const tokensAtOnce = 1000;

export function Experts({ onOpenChat }: { onOpenChat: () => void }) {
  const chat = useChat();
  const { current } = chat;
  const stream = chat.streams.get(current.id);
  const recorded = current.messages.filter(
    ({ id, hasExperts }) => hasExperts === true || (stream?.messageId === id && stream.experts.length > 0),
  );
  const [wanted, setWanted] = useState<string>();
  const chosen = recorded.find(({ id }) => id === wanted) ?? recorded.at(-1);
  const tokens = useRecord(chosen?.id, stream?.messageId === chosen?.id ? stream?.experts.length : undefined);

  if (chosen === undefined) return <NothingRecorded onOpenChat={onOpenChat} />;
  return (
    <div class="experts">
      <div class="experts-inner">
        <h1 class="visually-hidden">Which expert handled each token: {titleOf(current)}</h1>
        {recorded.length > 1 && (
          <label class="experts-choice">
            <span>Answer</span>
            <select class="field" value={chosen.id} onChange={(event) => setWanted(event.currentTarget.value)}>
              {recorded.map(({ id, content }, index) => (
                <option key={id} value={id}>
                  {index + 1}: {content.slice(0, 60)}
                </option>
              ))}
            </select>
          </label>
        )}
        {tokens.length > 0 ? (
          <Record key={chosen.id} tokens={tokens} answerFrom={chosen.facts?.promptTokens} />
        ) : (
          <p class="waiting">Loading the record</p>
        )}
      </div>
    </div>
  );
}

function NothingRecorded({ onOpenChat }: { onOpenChat: () => void }) {
  const chat = useChat();
  const { current } = chat;
  const last = current.messages.findLast(({ role }) => role === "assistant");
  const isStreaming = chat.streams.has(current.id);
  return (
    <div class="thread">
      <div class="empty">
        <h1>Which expert wrote what</h1>
        <p>
          In each layer, a router sends every token to one or a few of many experts. Recorded answers show here, colored
          by expert.
        </p>
        {current.recordsExperts ? (
          <p>{isStreaming ? "The record starts with the next answer." : "Recording is on. Ask something."}</p>
        ) : null}
        <div class="empty-actions">
          {!current.recordsExperts && (
            <button
              type="button"
              class="button primary"
              onClick={() => {
                chat.update({ recordsExperts: true });
                if (last === undefined) onOpenChat();
              }}
            >
              Record from now on
            </button>
          )}
          {last !== undefined && (
            <button
              type="button"
              class="button"
              disabled={isStreaming}
              onClick={() => {
                chat.update({ recordsExperts: true });
                chat.regenerate(last.id);
              }}
            >
              Answer again and record
            </button>
          )}
          {last === undefined && current.recordsExperts && (
            <button type="button" class="button primary" onClick={onOpenChat}>
              Ask something
            </button>
          )}
        </div>
      </div>
    </div>
  );
}

/** The record of a message; `growth` changes while it is still being made. */
function useRecord(messageId: string | undefined, growth: number | undefined): TokenExperts[] {
  const chat = useChat();
  const [tokens, setTokens] = useState<TokenExperts[]>([]);
  useEffect(() => {
    let isCurrent = true;
    if (messageId === undefined) setTokens([]);
    else void chat.experts(messageId).then((found) => isCurrent && setTokens([...found]));
    return () => {
      isCurrent = false;
    };
  }, [messageId, growth]);
  return tokens;
}

function Record({ tokens, answerFrom }: { tokens: readonly TokenExperts[]; answerFrom: number | undefined }) {
  const layers = tokens[0]!.experts.length;
  const [layer, setLayer] = useState(0);
  const [focused, setFocused] = useState(0);
  const [single, setSingle] = useState<number>();
  const [limit, setLimit] = useState(tokensAtOnce);
  const shown = tokens.slice(0, limit);
  const { server } = useChat();
  const known = (server.kind === "ready" ? server.experts : undefined) ?? 0;
  const shares = useMemo(() => sharesOf(tokens, layer, known), [tokens, layer, known]);
  const token = tokens[Math.min(focused, tokens.length - 1)]!;
  return (
    <>
      <div class="experts-controls">
        <label class="layer-choice">
          <span>
            Layer <b>{layer + 1}</b> of {layers}
          </span>
          <input
            type="range"
            min={1}
            max={layers}
            value={layer + 1}
            aria-valuetext={`Layer ${layer + 1} of ${layers}`}
            onInput={(event) => setLayer(Number(event.currentTarget.value) - 1)}
          />
        </label>
        <Legend shares={shares} tokens={tokens.length} single={single} onSingle={setSingle} />
      </div>
      <TokenText {...{ tokens: shown, answerFrom, layer, single, focused }} onFocus={setFocused} />
      {limit < tokens.length && (
        <button type="button" class="button" onClick={() => setLimit(limit + tokensAtOnce)}>
          {(tokens.length - limit).toLocaleString("en")} more tokens
        </button>
      )}
      <Inspector token={token} layer={layer} />
    </>
  );
}

type Share = { expert: number; tokens: number };

/** More experts than this are shown only where a token came to them. */
const shownExperts = 64;

/** Every expert of the layer by its number, with the tokens that it handled; `known`: how many the model has. */
function sharesOf(tokens: readonly TokenExperts[], layer: number, known: number): Share[] {
  const counts = new Map(Array.from({ length: known <= shownExperts ? known : 0 }, (_, expert) => [expert, 0]));
  for (const { experts } of tokens) {
    for (const expert of experts[layer] ?? []) counts.set(expert, (counts.get(expert) ?? 0) + 1);
  }
  return [...counts].map(([expert, count]) => ({ expert, tokens: count })).sort((a, b) => a.expert - b.expert);
}

/** Eight colors that the color-blind tell apart, then the same with other lines under the text. */
const colorClass = (expert: number) => `expert-${expert % 8} line-${Math.floor(expert / 8) % 4}`;

const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

type LegendProps = {
  shares: readonly Share[];
  tokens: number;
  single: number | undefined;
  onSingle: (expert: number | undefined) => void;
};

function Legend({ shares, tokens, single, onSingle }: LegendProps) {
  const most = Math.max(...shares.map((share) => share.tokens));
  return (
    <ul class="legend" aria-label="Experts of this layer and their share of the tokens">
      {shares.map(({ expert, tokens: handled }) => (
        <li key={expert}>
          <button
            type="button"
            class={`legend-entry ${colorClass(expert)}`}
            aria-pressed={single === expert}
            aria-label={`Expert ${expert}: ${percent(handled / tokens)} of the tokens. Show only these`}
            onClick={() => onSingle(single === expert ? undefined : expert)}
          >
            <span class="legend-number">{expert}</span>
            <span class="legend-bar" aria-hidden="true">
              <span style={{ width: `${(100 * handled) / most}%` }} />
            </span>
            <span class="legend-share">{percent(handled / tokens)}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

type TokenTextProps = {
  tokens: readonly TokenExperts[];
  /** Where the answer begins, once that is known. */
  answerFrom: number | undefined;
  layer: number;
  single: number | undefined;
  focused: number;
  onFocus: (index: number) => void;
};

/** The tokens in order. One of them is in the order of the Tab key; arrows go to the others. */
function TokenText({ tokens, answerFrom, layer, single, focused, onFocus }: TokenTextProps) {
  const list = useRef<HTMLDivElement>(null);
  const firstWritten = tokens.findIndex(({ position }) => answerFrom !== undefined && position >= answerFrom);
  const end = firstWritten < 0 ? tokens.length : firstWritten;
  const parts = [
    { label: answerFrom === undefined ? "Tokens" : "Read", from: 0, to: end },
    { label: "Written", from: end, to: tokens.length },
  ].filter(({ from, to }) => to > from);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const target =
      event.key === "Home" ? 0 : event.key === "End" ? tokens.length - 1 : step === undefined ? -1 : focused + step;
    if (target < 0 || target >= tokens.length) return;
    event.preventDefault();
    list.current?.querySelector<HTMLElement>(`[data-index="${target}"]`)?.focus();
  };
  const indexOf = (event: Event) =>
    Number((event.target as HTMLElement).closest<HTMLElement>("[data-index]")?.dataset.index);
  const choose = (event: Event) => {
    const index = indexOf(event);
    if (Number.isInteger(index)) onFocus(index);
  };
  return (
    <div
      ref={list}
      class="tokens"
      role="listbox"
      tabIndex={-1}
      aria-label={`Tokens by the experts of layer ${layer + 1}`}
      dir="auto"
      onKeyDown={move}
      onPointerOver={choose}
      onFocusIn={choose}
    >
      {parts.map(({ label, from, to }) => (
        // biome-ignore lint/a11y/useSemanticElements: a group of options in a listbox has no element of its own
        <div class="tokens-part" role="group" aria-label={label} key={label}>
          <span class="tokens-label" aria-hidden="true">
            {label}
          </span>
          {tokens.slice(from, to).map((token, offset) => (
            <TokenOption
              key={token.position}
              {...{ token, layer, single }}
              index={from + offset}
              isFocused={from + offset === focused}
            />
          ))}
        </div>
      ))}
    </div>
  );
}

type TokenOptionProps = {
  token: TokenExperts;
  index: number;
  layer: number;
  single: number | undefined;
  isFocused: boolean;
};

const TokenOption = memo(function TokenOption({ token, index, layer, single, isFocused }: TokenOptionProps) {
  const { text } = token;
  const experts = token.experts[layer] ?? [];
  const probabilities = token.probabilities[layer] ?? [];
  const isFaint = single !== undefined && !experts.includes(single);
  const shownAs = single !== undefined && !isFaint ? single : (experts[0] ?? 0);
  const described = experts.map((expert, rank) => `expert ${expert}, ${percent(probabilities[rank] ?? 0)}`);
  const endsLine = text.endsWith("\n");
  return (
    <>
      {text.includes("\n") && !endsLine && <br />}
      <span
        role="option"
        class={`token ${colorClass(shownAs)}${isFaint ? " is-faint" : ""}`}
        data-index={index}
        tabIndex={isFocused ? 0 : -1}
        aria-selected={isFocused}
        aria-label={`${text.trim() === "" ? "blank" : text}: ${described.join("; ")}`}
      >
        <span class="token-text">{visible(text)}</span>
        <span class="token-expert">{experts.join("·")}</span>
      </span>
      {endsLine && <br />}
    </>
  );
});

/** Blanks and pieces of characters get a sign, so that there is something to look at. */
function visible(text: string): string {
  if (text === "") return "▯";
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\u0000", "▯");
}

/** One token in all its layers. */
function Inspector({ token, layer }: { token: TokenExperts; layer: number }) {
  return (
    <section class="inspector" aria-label="The chosen token in every layer">
      <p class="inspector-token">
        <b dir="auto">{visible(token.text)}</b> <span>token {token.position + 1}</span>
      </p>
      <ol class="inspector-layers">
        {token.experts.map((experts, index) => (
          <li key={index} class={index === layer ? "is-chosen" : ""}>
            <span class="inspector-layer">
              <span class="visually-hidden">Layer </span>
              {index + 1}
            </span>
            {experts.map((expert, rank) => {
              const probability = token.probabilities[index]?.[rank] ?? 0;
              return (
                <span key={expert} class={`inspector-expert ${colorClass(expert)}`}>
                  <span class="legend-number">
                    <span class="visually-hidden">expert </span>
                    {expert}
                  </span>
                  <span class="legend-bar" aria-hidden="true">
                    <span style={{ width: `${100 * Math.min(1, probability)}%` }} />
                  </span>
                  <span class="legend-share">{percent(probability)}</span>
                </span>
              );
            })}
          </li>
        ))}
      </ol>
    </section>
  );
}
