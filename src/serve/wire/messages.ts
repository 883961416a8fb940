import { z } from "zod";
import type { ChatMessage } from "../../text/chat-template.ts";
import { mostMessages } from "../limits.ts";
import { boundedList } from "./common.ts";

/** Text, or parts of text; clients send assistant messages without any. */
const content = z.union([
  z.string(),
  boundedList(
    z
      .object({ type: z.string(), text: z.string().optional(), refusal: z.string().optional() })
      .refine((part) => ["text", "input_text", "output_text", "refusal"].includes(part.type), {
        message: "only parts of type text can be read",
      }),
    { max: mostMessages },
  ).transform((parts) => parts.map((part) => part.text ?? part.refusal ?? "").join("")),
  z.null().transform(() => ""),
]);

const roles = { system: "system", developer: "system", user: "user", assistant: "assistant" } as const;
const toolRoles = { tool: "tool", function: "tool" } as const;
const allRoles = { ...roles, ...toolRoles };

/** A message of a chat, as the template takes it. Fields such as `name` and `tool_calls` have no place in it. */
export const message = z
  .object({
    role: z.enum(Object.keys(allRoles) as [keyof typeof allRoles, ...(keyof typeof allRoles)[]]),
    content: content.optional(),
  })
  .transform((one): ChatMessage => ({ role: allRoles[one.role], content: one.content ?? "" }));

export const messageList = boundedList(message, { min: 1, max: mostMessages });
