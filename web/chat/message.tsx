import { useEffect, useRef, useState } from "preact/hooks";
import { IconAgain, IconContinue, IconEdit } from "../shared/icons.tsx";
import type { AnswerFacts, Ending, Message } from "./conversation.ts";
import { CopyButton, Markdown } from "./markdown.tsx";
import { useChat } from "./use-chat.ts";

type Props = { message: Message; isStreaming: boolean; isBusy: boolean; isLast: boolean };

export function MessageView(props: Props) {
  return props.message.role === "user" ? <Question {...props} /> : <Answer {...props} />;
}

function Question({ message, isBusy }: Props) {
  const chat = useChat();
  const [isEditing, setIsEditing] = useState(false);
  if (isEditing) {
    return (
      <li class="message question">
        <EditForm
          text={message.content}
          onCancel={() => setIsEditing(false)}
          onDone={(text) => {
            setIsEditing(false);
            chat.edit(message.id, text);
          }}
        />
      </li>
    );
  }
  return (
    <li class="message question">
      <h2 class="visually-hidden">You</h2>
      <div class="bubble" dir="auto">
        {message.content}
      </div>
      <div class="message-actions">
        <CopyButton text={message.content} what="question" />
        <button
          type="button"
          class="icon-button"
          aria-label="Edit question"
          disabled={isBusy}
          onClick={() => setIsEditing(true)}
        >
          <IconEdit />
        </button>
      </div>
    </li>
  );
}

function EditForm({ text, onDone, onCancel }: { text: string; onDone: (text: string) => void; onCancel: () => void }) {
  const [value, setValue] = useState(text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  const canSend = value.trim() !== "";
  const submit = (event: Event) => {
    event.preventDefault();
    if (canSend) onDone(value.trim());
  };
  return (
    <form class="edit-form" onSubmit={submit}>
      <textarea
        class="field"
        dir="auto"
        aria-label="Edit question"
        rows={Math.min(12, value.split("\n").length + 1)}
        value={value}
        ref={area}
        onInput={(event) => setValue(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && onCancel()}
      />
      <div class="edit-actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" class="button primary" disabled={!canSend}>
          Send
        </button>
      </div>
    </form>
  );
}

function Answer({ message, isStreaming, isBusy, isLast }: Props) {
  const chat = useChat();
  const { content, ending, facts } = message;
  const canContinue = isLast && content !== "" && ending !== undefined && ending.kind !== "stop";
  return (
    <li class="message answer" aria-busy={isStreaming}>
      <h2 class="visually-hidden">Answer</h2>
      {content === "" && isStreaming ? <Waiting /> : <Markdown text={content} />}
      {!isStreaming && ending !== undefined && <EndingNote ending={ending} isEmpty={content === ""} />}
      <div class="message-foot">
        <div class="message-actions">
          {!isStreaming && content !== "" && <CopyButton text={content} what="answer" />}
          {!isStreaming && (
            <button
              type="button"
              class="icon-button"
              aria-label="Answer again"
              disabled={isBusy}
              onClick={() => chat.regenerate(message.id)}
            >
              <IconAgain />
            </button>
          )}
          {!isStreaming && canContinue && (
            <button
              type="button"
              class="icon-button"
              aria-label="Continue this answer"
              disabled={isBusy}
              onClick={() => chat.continueAnswer()}
            >
              <IconContinue />
            </button>
          )}
        </div>
        {facts !== undefined && <Facts facts={facts} />}
      </div>
    </li>
  );
}

function Waiting() {
  const chat = useChat();
  const isFirst = chat.current.messages.length <= 2;
  const name = chat.current.document?.name;
  return (
    <p class="waiting">
      <span class="pulse" aria-hidden="true" />
      {name !== undefined && isFirst ? `Reading ${name}` : "Thinking"}
    </p>
  );
}

function EndingNote({ ending, isEmpty }: { ending: Ending; isEmpty: boolean }) {
  if (ending.kind === "stop") return isEmpty ? <p class="note">The model said nothing.</p> : null;
  if (ending.kind === "cancelled") return <p class="note">Stopped.</p>;
  if (ending.kind === "length") return <p class="note">The answer reached its greatest length.</p>;
  const { message, retryAfterSeconds } = ending;
  const wait = retryAfterSeconds === undefined ? "" : ` Try again in ${Math.ceil(retryAfterSeconds)} s.`;
  return (
    <p class="note is-error" role="alert">
      {message}
      {wait}
    </p>
  );
}

const count = (value: number) => value.toLocaleString("en");

function Facts({ facts }: { facts: AnswerFacts }) {
  const { firstTokenMs, tokensPerSecond, promptTokens, cachedTokens, answerTokens } = facts;
  const parts: [label: string, value: string][] = [];
  if (firstTokenMs !== undefined) {
    const time = firstTokenMs < 995 ? `${Math.round(firstTokenMs)} ms` : `${(firstTokenMs / 1000).toFixed(1)} s`;
    parts.push(["to first token", time]);
  }
  if (tokensPerSecond !== undefined) {
    parts.push(["tokens/s", tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)]);
  }
  if (answerTokens !== undefined) parts.push(["written", count(answerTokens)]);
  if (promptTokens !== undefined) parts.push(["read", count(promptTokens)]);
  if (cachedTokens !== undefined && cachedTokens > 0) parts.push(["cached", count(cachedTokens)]);
  return (
    <ul class="facts" aria-label="What this answer took">
      {parts.map(([label, value]) => (
        <li key={label}>
          <b>{value}</b> {label}
        </li>
      ))}
    </ul>
  );
}
