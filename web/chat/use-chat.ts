import { createContext } from "preact";
import { useContext, useEffect, useReducer } from "preact/hooks";
import type { Chat } from "./chat.ts";

export const ChatContext = createContext<Chat | undefined>(undefined);

/** The page's chat; whoever calls this is drawn again when something in it changes. */
export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (chat === undefined) throw new Error("there is no chat around this component");
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => chat.subscribe(() => redraw(undefined)), [chat]);
  return chat;
}
