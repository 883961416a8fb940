import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { IconDocument, IconDown } from "../shared/icons.tsx";
import { MessageView } from "./message.tsx";
import { useChat } from "./use-chat.ts";

/** Nearer to the end than this, the page follows the answer. */
const followPixels = 48;

export function Thread() {
  const chat = useChat();
  const scroller = useRef<HTMLElement>(null);
  const isFollowing = useRef(true);
  const [isAway, setIsAway] = useState(false);
  const { current } = chat;
  const stream = chat.streams.get(current.id);

  const toEnd = () => {
    const element = scroller.current;
    if (element === null) return;
    isFollowing.current = true;
    element.scrollTop = element.scrollHeight;
  };
  // A reader who has scrolled up stays there.
  useLayoutEffect(() => {
    if (isFollowing.current) toEnd();
  });
  const shown = `${current.id} ${current.messages.length}`;
  useEffect(toEnd, [shown]);

  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = scroller.current!;
    isFollowing.current = scrollHeight - scrollTop - clientHeight < followPixels;
    setIsAway(!isFollowing.current);
  };

  return (
    <div class="thread-frame">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <section class="thread" ref={scroller} onScroll={onScroll} tabIndex={0} aria-label="Messages">
        {current.messages.length === 0 ? (
          <Empty />
        ) : (
          <ol class="messages">
            {current.messages.map((message, index) => (
              <MessageView
                key={message.id}
                message={message}
                isStreaming={stream?.messageId === message.id}
                isBusy={stream !== undefined}
                isLast={index === current.messages.length - 1}
              />
            ))}
          </ol>
        )}
      </section>
      {isAway && (
        <button type="button" class="icon-button to-end" aria-label="To the newest message" onClick={toEnd}>
          <IconDown />
        </button>
      )}
    </div>
  );
}

function Empty() {
  const chat = useChat();
  const { document } = chat.current;
  if (document !== undefined) {
    return (
      <div class="empty">
        <IconDocument />
        <h1 dir="auto">{document.name}</h1>
        <p>Ask about it. It is read with the first question, and kept for all that follow.</p>
      </div>
    );
  }
  return (
    <div class="empty">
      <h1>What would you like to ask?</h1>
      <p>
        Drop a document anywhere (text, HTML or PDF) to ask many questions about it: the model reads it once. Under
        Experts you see which part of the model wrote each word.
      </p>
    </div>
  );
}
