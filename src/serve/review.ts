/** A review queue for its page: one record at a time, and what is decided about it. */
import { Hono } from "hono";
import { z } from "zod";
import { reviewActions } from "../review/decision.ts";
import { viewOf, withText } from "../review/fields.ts";
import type { ReviewQueue } from "../review/queue.ts";
import { checkHost } from "./access.ts";
import { ApiError, badRequest, toApiError } from "./errors.ts";
import { createPages } from "./pages.ts";
import type { ReviewItemView, ReviewState } from "./review-wire.ts";

const decisionSchema = z.strictObject({
  key: z.string().max(100),
  action: z.enum(reviewActions),
  edits: z
    .array(z.strictObject({ path: z.array(z.union([z.string(), z.int().min(0)])).max(20), text: z.string() }))
    .max(1000)
    .default([]),
});

const mostBodyBytes = 64 * 2 ** 20;

/** `GET /review`, the page; `GET /review/state?index=N` and `POST /review/decisions`, which answer with the state. */
export function createReviewApp(queue: ReviewQueue): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    checkHost(context.req.header("host"));
    await next();
  });
  app.get("/review/state", (context) => {
    const asked = context.req.query("index");
    if (asked === undefined) return context.json(stateOf(queue, queue.nextIndex()));
    const index = /^\d{1,9}$/.test(asked) ? Number(asked) : Number.NaN;
    if (queue.items[index] === undefined) throw badRequest(`there is no record ${asked.slice(0, 20)}`, "index");
    return context.json(stateOf(queue, index));
  });
  app.post("/review/decisions", async (context) => {
    // another site's form cannot send this type without being asked first
    if (!/^application\/json\b/.test(context.req.header("content-type") ?? "")) {
      throw new ApiError(415, "send the decision as application/json");
    }
    if (Number(context.req.header("content-length") ?? 0) > mostBodyBytes)
      throw new ApiError(413, "the decision is too long");
    const parsed = decisionSchema.safeParse(await context.req.json().catch(() => undefined));
    if (!parsed.success) throw badRequest(`no decision: ${parsed.error.issues[0]?.message ?? "no JSON"}`);
    return context.json(decide(queue, parsed.data));
  });
  app.route("/", createPages({ hasChat: false, hasReview: true }));
  app.onError((error, context) => {
    const told = toApiError(error);
    return context.json(told.toJSON(), told.status, told.headers);
  });
  return app;
}

function decide(queue: ReviewQueue, { key, action, edits }: z.output<typeof decisionSchema>): ReviewState {
  const index = queue.items.findIndex((item) => item.key === key);
  if (index === -1) throw badRequest("that record is not in the queue; reload the page", "key");
  let { record } = queue.items[index]!;
  for (const { path, text } of edits) {
    const edited = withText(record, path, text);
    if (edited === undefined) throw badRequest("an edit is of no text of the record", "edits");
    record = edited;
  }
  if ((action === "edit") !== edits.length > 0)
    throw badRequest("edits go with the action edit, and with no other", "edits");
  queue.decide({ key, action, record: action === "edit" ? record : undefined }, new Date());
  return stateOf(queue, action === "undo" ? index : queue.nextIndex(index));
}

function stateOf(queue: ReviewQueue, index: number | undefined): ReviewState {
  const { file, progress } = queue;
  return { format: "rookery-review/1", file, progress, item: index === undefined ? null : itemOf(queue, index) };
}

/** What was edited is shown as it was edited. */
function itemOf(queue: ReviewQueue, index: number): ReviewItemView {
  const { key, record, line, why } = queue.items[index]!;
  const decision = queue.decisionOn(key);
  return { index, key, line, why, ...viewOf(decision?.record ?? record), decision: decision?.action ?? null };
}
