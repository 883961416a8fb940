import { IconClose, IconPlus, IconTrash } from "../shared/icons.tsx";
import { useModal } from "../shared/use-modal.ts";
import { type Conversation, titleOf } from "./conversation.ts";
import { useChat } from "./use-chat.ts";

/** The conversations: beside the page where there is room, else over it. */
export function Sidebar({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const dialog = useModal(isOpen);
  return (
    <>
      <aside class="sidebar" aria-label="Conversations">
        <ConversationList />
      </aside>
      <dialog ref={dialog} class="drawer" aria-label="Conversations" onClose={onClose}>
        <button type="button" class="icon-button drawer-close" aria-label="Close" onClick={onClose}>
          <IconClose />
        </button>
        {isOpen && <ConversationList onChosen={onClose} />}
      </dialog>
    </>
  );
}

function ConversationList({ onChosen }: { onChosen?: () => void }) {
  const chat = useChat();
  return (
    <div class="sidebar-inner">
      <p class="wordmark">Rookery</p>
      <button
        type="button"
        class="button new-conversation"
        onClick={() => {
          chat.create();
          onChosen?.();
        }}
      >
        <IconPlus />
        New conversation
      </button>
      {chat.isLoaded && chat.conversations.length === 0 && (
        <p class="sidebar-empty">Conversations are kept in this browser, and nowhere else.</p>
      )}
      <ul class="conversations">
        {chat.conversations.map((one) => (
          <Entry key={one.id} conversation={one} onChosen={onChosen} />
        ))}
      </ul>
    </div>
  );
}

function Entry({ conversation, onChosen }: { conversation: Conversation; onChosen: (() => void) | undefined }) {
  const chat = useChat();
  const title = titleOf(conversation);
  const remove = () => {
    if (confirm(`Delete “${title}”?`)) void chat.remove(conversation.id);
  };
  return (
    <li class="conversation">
      <button
        type="button"
        class="conversation-open"
        aria-current={conversation.id === chat.current.id ? "true" : undefined}
        onClick={() => {
          void chat.open(conversation.id);
          onChosen?.();
        }}
      >
        <span dir="auto">{title}</span>
      </button>
      <button type="button" class="icon-button conversation-delete" aria-label={`Delete ${title}`} onClick={remove}>
        <IconTrash />
      </button>
    </li>
  );
}
