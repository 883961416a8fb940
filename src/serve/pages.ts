/** The pages at `/`, `/training` and `/review` as an app of their own. They hold no secret, and need no key: whoever has none types it there. */
import { type Context, Hono } from "hono";
import { loadPageFiles, type PageFile } from "./page-files.ts";

/** Nothing comes from elsewhere, nothing inline runs, and no other site may frame the pages. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const commonHeaders = {
  "Content-Security-Policy": contentSecurityPolicy,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-DNS-Prefetch-Control": "off",
  // the names are fixed, so a browser asks whether what it has is still the newest
  "Cache-Control": "no-cache",
};

export type PagesOptions = {
  /** The page that talks to the model. */
  hasChat?: boolean;
  /** The page that shows a run, whose figures `createTrainingRoutes` serves. */
  hasTraining?: boolean;
  /** The page that decides on the records of a queue, which `createReviewApp` serves. */
  hasReview?: boolean;
};

/** `GET /`, `GET /training`, `GET /review` and `GET /assets/…`. Without a chat page, `/` leads to the one that is there. */
export function createPages({ hasChat = true, hasTraining = false, hasReview = false }: PagesOptions = {}): Hono {
  const app = new Hono();
  if (hasChat) app.get("/", (context) => sendPage(context, "chat.html", hasTraining));
  else app.get("/", (context) => context.redirect(hasReview ? "review" : "training"));
  if (hasTraining) app.get("/training", (context) => sendPage(context, "training.html", hasChat));
  if (hasReview) app.get("/review", (context) => sendPage(context, "review.html", false));
  app.get("/assets/*", async (context) => {
    const name = context.req.path.slice(context.req.path.lastIndexOf("/assets/") + 1);
    return send(context, (await loadPageFiles()).get(name));
  });
  return app;
}

/** A page is told whether the other one is there, so that it can lead to it. */
async function sendPage(context: Context, name: string, hasOther: boolean): Promise<Response> {
  const file = (await loadPageFiles()).get(name);
  if (file === undefined || !hasOther) return send(context, file);
  const html = new TextDecoder()
    .decode(file.bytes)
    .replace('<html lang="en"', '<html lang="en" data-other-page="true"');
  return send(context, { ...file, bytes: new TextEncoder().encode(html), etag: file.etag.replace(/"$/, '-2"') });
}

function send(context: Context, file: PageFile | undefined): Response | Promise<Response> {
  if (file === undefined) return context.notFound();
  const headers = { ...commonHeaders, ETag: file.etag };
  const known = context.req.header("If-None-Match")?.split(",") ?? [];
  if (known.some((etag) => etag.trim().replace(/^W\//, "") === file.etag)) {
    return context.body(null, 304, headers);
  }
  return context.body(file.bytes, 200, { ...headers, "Content-Type": file.contentType });
}
