import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { IconClose, IconDocument, IconSend, IconStop } from "../shared/icons.tsx";
import { limits } from "./conversation.ts";
import { acceptedFiles } from "./document.ts";
import { useChat } from "./use-chat.ts";

export function Composer() {
  const chat = useChat();
  const [text, setText] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const isStreaming = chat.streams.has(chat.current.id);
  const canSend = text.trim() !== "" && !isStreaming && chat.reading === undefined;

  // As high as its text, up to the limit that the style sheet sets.
  useLayoutEffect(() => {
    const element = area.current!;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [text]);
  // Where a keyboard is, one can write at once; on a phone it would cover the page.
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [chat.current.id]);

  const send = (event: Event) => {
    event.preventDefault();
    if (!canSend) return;
    chat.send(text.trim());
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const isPlainEnter = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (isPlainEnter && matchMedia("(pointer: fine)").matches) send(event);
  };

  return (
    <footer class="composer-frame">
      <div class="composer-inner">
        {chat.notice !== undefined && (
          <div class="notice" role="alert">
            <p>{chat.notice}</p>
            <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => chat.dismissNotice()}>
              <IconClose />
            </button>
          </div>
        )}
        <DocumentChip />
        <form class="composer" onSubmit={send}>
          <FileButton />
          <textarea
            ref={area}
            class="composer-text"
            dir="auto"
            rows={1}
            aria-label="Message"
            placeholder={chat.current.document === undefined ? "Ask something" : "Ask about the document"}
            maxLength={limits.messageCharacters}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={onKeyDown}
          />
          {isStreaming ? (
            <button type="button" class="icon-button send" aria-label="Stop" onClick={() => chat.stop()}>
              <IconStop />
            </button>
          ) : (
            <button type="submit" class="icon-button send" aria-label="Send" disabled={!canSend}>
              <IconSend />
            </button>
          )}
        </form>
      </div>
    </footer>
  );
}

function FileButton() {
  const chat = useChat();
  const input = useRef<HTMLInputElement>(null);
  const choose = () => {
    const file = input.current?.files?.[0];
    if (file !== undefined) void chat.addDocument(file);
    if (input.current) input.current.value = "";
  };
  return (
    <>
      <button
        type="button"
        class="icon-button"
        aria-label="Add a document"
        disabled={chat.reading !== undefined}
        onClick={() => input.current?.click()}
      >
        <IconDocument />
      </button>
      <input
        ref={input}
        type="file"
        accept={acceptedFiles}
        hidden
        aria-label="Document"
        data-testid="document"
        onChange={choose}
      />
    </>
  );
}

/** The document that stands in front of the conversation. */
function DocumentChip() {
  const chat = useChat();
  const { document } = chat.current;
  if (chat.reading !== undefined) {
    return (
      <p class="chip">
        <span class="pulse" aria-hidden="true" />
        <span>Reading {chat.reading}</span>
      </p>
    );
  }
  if (document === undefined) return null;
  const size =
    document.tokens === undefined
      ? `${document.characters.toLocaleString("en")} characters`
      : `${document.tokens.toLocaleString("en")} tokens`;
  return (
    <div class="chip">
      <IconDocument />
      <span class="chip-name" dir="auto" title={document.name}>
        {document.name}
      </span>
      <span class="chip-size">{size}</span>
      <button
        type="button"
        class="icon-button"
        aria-label={`Remove ${document.name}`}
        disabled={chat.streams.has(chat.current.id)}
        onClick={() => void chat.removeDocument()}
      >
        <IconClose />
      </button>
    </div>
  );
}
