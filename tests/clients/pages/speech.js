// A page of a client's: does what ?case=… names, and posts what came of it to its own site.
const query = Object.fromEntries(new URLSearchParams(location.search));
const url = `${query.server}/speech-to-text/transcribe`;
const recording = await (await fetch("/recordings/Front_Center.wav")).arrayBuffer();

function post(headers = {}, audio = recording) {
  const body = new FormData();
  body.set("audio", new File([audio], "speech.wav", { type: "audio/wav" }));
  body.set("provider", "sphinx");
  return fetch(url, { method: "POST", headers: { authorization: `Bearer ${query.token}`, ...headers }, body });
}

async function upload(audio = recording) {
  const answer = await post({}, audio);
  return { status: answer.status, id: answer.headers.get("x-request-id"), body: await answer.json() };
}

async function events() {
  const answer = await post({ accept: "text/event-stream" });
  const texts = [];
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) texts.push(text);
  return { type: answer.headers.get("content-type"), text: texts.join("") };
}

function show({ type, text }) {
  if (type === "final") document.querySelector("#finals").append(Object.assign(document.createElement("li"), { textContent: text }));
}

// Streams the recording's samples; credentials are sub-protocols, or fields of the first message.
async function speak(protocols, fields) {
  const socket = new WebSocket(`${query.server.replace("http", "ws")}/speech-to-text/stream`, protocols);
  const kinds = [];
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    kinds.push(message.type);
    show(message);
  };
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: () => reject(new Error("not opened")) }));
  const rate = new DataView(recording).getUint32(24, true);
  const samples = recording.slice(44);
  socket.send(JSON.stringify({ type: "start", provider: "sphinx", sample_rate: rate, ...fields }));
  for (let at = 0; at < samples.byteLength; at += rate / 5) socket.send(samples.slice(at, at + rate / 5)); // 100 ms each
  socket.send('{"type":"end"}');
  const { code } = await closed;
  const shown = [...document.querySelectorAll("#finals li")].map((line) => line.textContent);
  return { code, kinds, shown, protocol: socket.protocol };
}

const cases = {
  upload: () => upload(),
  too_large: () => upload(new Uint8Array(30 * 1024 * 1024)),
  events,
  by_protocol: () => speak([`junctor.bearer.${query.token}`], {}),
  by_protocol_beside_another: () => speak(["captions.v1", `junctor.bearer.${query.token}`], {}),
  by_message: () => speak([], { token: query.token }),
};
const result = await cases[query.case]().catch((error) => ({ failed: String(error) }));
await fetch(`/inbox/${query.inbox}`, { method: "POST", body: JSON.stringify(result) });
