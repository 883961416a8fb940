import { badRequest } from "../errors.ts";
import type { ServeContext, Service } from "../service.ts";
import { parseBody } from "../wire/common.ts";
import { embeddingRequest } from "../wire/embeddings.ts";
import { readBody, severalAtATime } from "./answering.ts";

/** POST /v1/embeddings: the mean of the last hidden states, of length 1 as OpenAI's are. */
export async function embeddings(service: Service, context: ServeContext): Promise<Response> {
  const { engine, model, prompts } = service;
  const running = context.get("running");
  const { inputs, isBase64 } = await readBody(service, context, async (body) => {
    const fields = parseBody(embeddingRequest, body);
    service.checkModel(fields.model);
    const { hiddenSize } = engine.info;
    if (fields.dimensions !== undefined && fields.dimensions !== hiddenSize) {
      throw badRequest(`dimensions: the model's embeddings have ${hiddenSize} numbers, no others`, "dimensions");
    }
    const inputs: Int32Array[] = [];
    for (const input of fields.input) inputs.push(await prompts.document(input, "input"));
    return { inputs, isBase64: fields.encoding_format === "base64" };
  });
  const data: object[] = new Array(inputs.length);
  await severalAtATime(running, inputs, async (input, index) => {
    const embedding = toUnitLength(await engine.embed(input, running.controller.signal));
    data[index] = { object: "embedding", index, embedding: isBase64 ? toBase64(embedding) : [...embedding] };
  });
  const tokens = inputs.reduce((sum, { length }) => sum + length, 0);
  return context.json({
    object: "list",
    data,
    model: model.id,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

function toUnitLength(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

/** Little-endian f32, as OpenAI's clients read them. */
function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, at) => {
    bytes.writeFloatLE(value, 4 * at);
  });
  return bytes.toString("base64");
}
