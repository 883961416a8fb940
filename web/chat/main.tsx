import { render } from "preact";
import { App } from "./app.tsx";
import { Chat } from "./chat.ts";
import "../shared/base.css";
import "./chat.css";
import "./experts.css";
import { ChatContext } from "./use-chat.ts";

const chat = new Chat();
render(
  <ChatContext.Provider value={chat}>
    <App />
  </ChatContext.Provider>,
  document.getElementById("app")!,
);
void chat.start();
