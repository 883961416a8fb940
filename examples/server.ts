// OpenAI's API inside one's own server, below a path of its own, beside one's own routes. (npm install hono @hono/node-server)
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createApp, loadEngine } from "rookery";

const [model = "nano-1", port = "3000"] = process.argv.slice(2);
const engine = await loadEngine(model);

const app = new Hono();
app.get("/", (context) => context.text("mine"));
app.mount("/llm", createApp(engine).fetch); // http://127.0.0.1:3000/llm/v1/chat/completions

const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(port) }, (address) => {
  console.log(`http://127.0.0.1:${address.port}/llm/v1`);
});
process.once("SIGINT", async () => {
  server.close();
  await engine.close();
});
