// Uses the speech-to-text contract with what Node brings (fetch, FormData) and with ws, and prints what it saw as one line of JSON.
// Usage: node speech_to_text.mjs <server's URL> <API key> <WAV file of 16-bit samples, one channel, with a plain header>
import { readFile } from "node:fs/promises";
import { once } from "node:events";
import WebSocket from "ws";

const [server, key, path] = process.argv.slice(2);
const wav = await readFile(path);
const rate = wav.readUInt32LE(24);
const samples = wav.subarray(44);
const url = `${server}/speech-to-text/transcribe`;

function form(fields) {
  const data = new FormData();
  data.set("audio", new Blob([wav], { type: "audio/wav" }), "speech.wav");
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}

function post(fields, { token = key, ...headers } = {}) {
  return fetch(url, { method: "POST", headers: { authorization: `Bearer ${token}`, ...headers }, body: form(fields) });
}

async function upload() {
  const answer = await post({ provider: "sphinx", enable_word_timestamps: true });
  return { status: answer.status, id: answer.headers.get("x-request-id"), body: await answer.json() };
}

async function refused() {
  const answer = await post({ provider: "sphinx" }, { token: "nobody" });
  return { status: answer.status, body: await answer.json() };
}

async function events() {
  const answer = await post({ provider: "sphinx" }, { accept: "text/event-stream" });
  const found = [];
  let rest = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(part);
      found.push({ event, data: JSON.parse(data) });
    }
  }
  return { found, rest };
}

async function live(token) {
  const socket = new WebSocket(`${server.replace("http", "ws")}/speech-to-text/stream`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const messages = [];
  socket.on("message", (text) => messages.push(JSON.parse(text)));
  await once(socket, "open");
  const closed = once(socket, "close");
  socket.send(JSON.stringify({ type: "start", provider: "sphinx", sample_rate: rate }));
  const size = rate / 5; // 100 ms
  for (let at = 0; at < samples.length; at += size) socket.send(samples.subarray(at, at + size));
  socket.send('{"type":"end"}');
  const [code] = await closed;
  return { code, messages };
}

const seen = {
  upload: await upload(),
  refused: await refused(),
  events: await events(),
  live: await live(key),
  stranger: await live("nobody"),
};
console.log(JSON.stringify(seen));
