import { createContext } from "preact";
import { useContext, useLayoutEffect, useReducer } from "preact/hooks";
import type { Chat } from "./chat.ts";

export const ChatContext = createContext<Chat | undefined>(undefined);

/** The page's chat; whoever calls this is drawn again when something in it changes. */
export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (chat === undefined) throw new Error("there is no chat around this component");
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  // Before anything can happen between drawing and listening: what is missed is never drawn.
  useLayoutEffect(() => chat.subscribe(() => redraw(undefined)), [chat]);
  return chat;
}
