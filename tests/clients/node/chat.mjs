// Chats with the openai SDK for Node and prints what it saw as one line of JSON.
// Usage: node chat.mjs <base URL> <API key>
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "qwen3-4b";
const hello = [{ role: "user", content: "Hello" }];
const story = [{ role: "user", content: "Tell me a long story" }];
const asked = [{ role: "user", content: "What is the weather in Bangkok?" }];
const create = (more) => client.chat.completions.create({ model, messages: hello, temperature: 0, ...more });
const Weather = z.object({ city: z.string(), degrees: z.number().int(), sunny: z.boolean() });
const response_format = zodResponseFormat(Weather, "weather");
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Get the weather",
      parameters,
      parse: JSON.parse,
      function: ({ city }) => JSON.stringify(city === "Bangkok" ? { temperature: 31, condition: "sunny" } : {}),
    },
  },
];

async function collect(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    const { status, code, requestID } = error;
    const retryAfter = error.headers?.get("retry-after") ?? null;
    return { kind: error.constructor.name, status, code, requestID, retryAfter };
  }
}

const plain = await create({});
const chunks = await collect(await create({ messages: story, stream: true, stream_options: { include_usage: true } }));
const run = (more) => client.chat.completions.runTools({ model, messages: asked, temperature: 0, tools, ...more });
const loop = await run({}).finalContent();
const streamedLoop = await run({ stream: true }).finalContent();
const parsed = await client.chat.completions.parse({ model: "scripted", messages: asked, response_format });
const streamed = client.chat.completions.stream({ model: "scripted", messages: asked, response_format });
const streamedParsed = (await streamed.finalChatCompletion()).choices[0].message.parsed;
const { response, data } = await create({}).withResponse();
const pieces = [];
const broken = await failure(async () => {
  for await (const one of await create({ model: "breaking", stream: true })) {
    pieces.push(one.choices[0].delta.content ?? "");
  }
});
const stranger = new OpenAI({ baseURL, apiKey: "nobody", maxRetries: 0 });
const errors = {
  field: await failure(() => create({ temperature: 3 })),
  model: await failure(() => create({ model: "nope" })),
  busy: await failure(() => create({ model: "busy" })),
  deaf: await failure(() => create({ model: "deaf" })),
  key: await failure(() => stranger.chat.completions.create({ model, messages: hello })),
};
const models = (await collect(await client.models.list())).map((one) => one.id);
const raw = { provider: response.headers.get("x-junctor-provider"), content: data.choices[0].message.content };
console.log(
  JSON.stringify({ plain, chunks, loop, streamedLoop, parsed: parsed.choices[0].message.parsed, streamedParsed, raw, pieces, broken, errors, models }),
);
