// Drives a server with the openai SDK for Node and prints what it saw as one line of JSON.
// Usage: node openai.mjs <base URL> <API key> <audio file> <model> [<language>]
import { createReadStream } from "node:fs";
import OpenAI from "openai";

const [baseURL, apiKey, path, model, language = "th"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const file = () => createReadStream(path);
const transcribe = (more) => client.audio.transcriptions.create({ file: file(), model, ...more });

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    const { status, code, requestID } = error;
    return { kind: error.constructor.name, status, code, requestID };
  }
}

const formats = {};
for (const response_format of ["json", "text", "verbose_json", "srt", "vtt"]) {
  formats[response_format] = await transcribe({ response_format });
}
const words = await transcribe({
  response_format: "verbose_json",
  timestamp_granularities: ["word"],
  language,
  temperature: 0.2,
});
const events = await collect(await transcribe({ stream: true }));
const models = await collect(await client.models.list());
const stranger = new OpenAI({ baseURL, apiKey: "nobody", maxRetries: 0 });
const errors = {
  field: await failure(() => transcribe({ temperature: 2 })),
  model: await failure(() => transcribe({ model: "nope" })),
  key: await failure(() => stranger.models.list()),
};
console.log(JSON.stringify({ formats, words, events, models, errors }));
