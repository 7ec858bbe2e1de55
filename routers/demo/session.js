// One session of `/api/thai-asr`: asked for over HTTP, then a socket for any number of utterances.
const API = new URL("../../api/thai-asr/", import.meta.url);

const CLOSED = {
  1000: "The session is over.",
  1001: "The server went away.",
  1006: "The connection was lost.",
  1008: "Too many messages made no sense to the server.",
  1011: "The server has failed, or nobody can listen now. Try again later.",
  1012: "The server restarts. Start again in a moment.",
  4401: "The key is not good, or the session is not there any more.",
  4403: "This key may not do that.",
  4408: "Nothing was heard for too long.",
  4413: "The session was longer than the server allows.",
  4429: "The team has reached a limit: requests a minute, sessions at a time, or today’s seconds.",
};

// Opens one; `listeners` has a function for each type of message that matters, and `closed`.
// Resolves once audio is taken; rejects with an Error in words.
export async function openSession({ key, rate, listeners }) {
  const config = { sample_rate: rate, frame_ms: 20 };
  const { ws_url } = await asked(key, config);
  // At this page's own host, where its content policy lets it go and which it is known to reach.
  const url = new URL("stream", API);
  url.protocol = API.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URL(ws_url).search;
  url.searchParams.set("api_key", key); // a browser's socket has no headers
  const socket = new WebSocket(url);
  const session = {
    key,
    rate,
    isOpen: () => socket.readyState === WebSocket.OPEN,
    hear: (frame) => session.isOpen() && socket.send(frame),
    say: (type) => session.isOpen() && socket.send(JSON.stringify({ type })),
    close: () => socket.close(1000),
  };
  return new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "ready") socket.send(JSON.stringify({ type: "start", ...config }));
      listeners[message.type]?.(message);
      if (message.type === "started") resolve(session);
    };
    socket.onclose = ({ code }) => {
      const why = CLOSED[code] ?? `The connection was closed (${code}).`;
      reject(new Error(why));
      listeners.closed(session, code, why);
    };
  });
}

async function asked(key, config) {
  const headers = { "content-type": "application/json", "x-api-key": key };
  const request = { method: "POST", headers, body: JSON.stringify(config), cache: "no-store" };
  const answer = await fetch(new URL("sessions", API), request).catch(() => {
    throw new Error("The server cannot be reached, or the key has letters that no key has.");
  });
  if (answer.ok) return answer.json();
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error ?? `The server refused a session (${answer.status}).`);
}
