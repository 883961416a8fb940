import { useEffect, useRef, useState } from "preact/hooks";
import { IconChart, IconMenu, IconPlus, IconSettings } from "../shared/icons.tsx";
import { KeyDialog } from "../shared/key-dialog.tsx";
import { ThemeButton } from "../shared/theme.tsx";
import type { ServerState } from "./chat.ts";
import { Composer } from "./composer.tsx";
import { titleOf } from "./conversation.ts";
import { Experts } from "./experts.tsx";
import { SettingsDialog } from "./settings.tsx";
import { Sidebar } from "./sidebar.tsx";
import { Thread } from "./thread.tsx";
import { useChat } from "./use-chat.ts";

const hasTrainingPage = document.documentElement.dataset.otherPage === "true";

export function App() {
  const chat = useChat();
  const [view, setView] = useState<"chat" | "experts">("chat");
  const [isListOpen, setIsListOpen] = useState(false);
  const [isSettingsOpen, setIsSettingsOpen] = useState(false);
  const isDragging = useDroppedFiles((file) => {
    setView("chat");
    void chat.addDocument(file);
  });

  const title = titleOf(chat.current);
  useEffect(() => {
    document.title = chat.current.messages.length > 0 ? `${title} · Rookery` : "Rookery";
  }, [title, chat.current.messages.length]);

  return (
    <div class="layout">
      <button type="button" class="button skip-link" onClick={() => document.getElementById("main")?.focus()}>
        Skip to the conversation
      </button>
      <Sidebar isOpen={isListOpen} onClose={() => setIsListOpen(false)} />
      <div class="page">
        <header class="top">
          <button
            type="button"
            class="icon-button only-narrow"
            aria-label="Conversations"
            aria-expanded={isListOpen}
            onClick={() => setIsListOpen(true)}
          >
            <IconMenu />
          </button>
          <ServerBadge state={chat.server} />
          <nav class="views" aria-label="View">
            {(["chat", "experts"] as const).map((name) => (
              <button
                type="button"
                key={name}
                class="view-button"
                aria-current={view === name ? "page" : undefined}
                onClick={() => setView(name)}
              >
                {name === "chat" ? "Chat" : "Experts"}
              </button>
            ))}
          </nav>
          <div class="top-end">
            {hasTrainingPage && (
              <a class="icon-button" href="training" aria-label="Training page">
                <IconChart />
              </a>
            )}
            <ThemeButton />
            <button type="button" class="icon-button" aria-label="Settings" onClick={() => setIsSettingsOpen(true)}>
              <IconSettings />
            </button>
            <button
              type="button"
              class="icon-button only-narrow"
              aria-label="New conversation"
              onClick={() => {
                chat.create();
                setView("chat");
              }}
            >
              <IconPlus />
            </button>
          </div>
        </header>
        <main id="main" tabIndex={-1} aria-label={view === "chat" ? title : `Experts: ${title}`}>
          {view === "chat" ? <Thread /> : <Experts onOpenChat={() => setView("chat")} />}
        </main>
        {view === "chat" && <Composer />}
      </div>
      <div class="visually-hidden" role="status" aria-live="polite">
        {chat.announcement}
      </div>
      {isDragging && (
        <div class="drop-target">
          <p>Drop it to read it in front of the conversation</p>
        </div>
      )}
      {isSettingsOpen && <SettingsDialog onClose={() => setIsSettingsOpen(false)} />}
      {chat.server.kind === "locked" && (
        <KeyDialog
          wasWrong={chat.server.wasKeyWrong}
          onKey={() => void chat.connect()}
          onLeave={() => chat.leaveLocked()}
        />
      )}
    </div>
  );
}

function ServerBadge({ state }: { state: ServerState }) {
  const chat = useChat();
  if (state.kind === "unreachable") {
    return (
      <button type="button" class="server-badge is-bad" title={state.message} onClick={() => void chat.connect()}>
        Not connected. Try again
      </button>
    );
  }
  const text = { asking: "…", ready: state.kind === "ready" ? state.model : "", locked: "Locked" }[state.kind];
  return (
    <p class="server-badge" title={text}>
      {text}
    </p>
  );
}

/** Files may be dropped anywhere on the page. */
function useDroppedFiles(onFile: (file: File) => void): boolean {
  const [isDragging, setIsDragging] = useState(false);
  const handler = useRef(onFile);
  handler.current = onFile;
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setIsDragging(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setIsDragging(false);
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setIsDragging(false);
      const file = event.dataTransfer?.files[0];
      if (file !== undefined) handler.current(file);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return isDragging;
}
