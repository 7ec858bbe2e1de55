// Image to video as this server offers it: what the page asks, and what went wrong in words.
const API = new URL("../../api/ltx23/v1/videos", import.meta.url);
const MOST_WAIT = 60_000; // ms for an answer; a picture may take as long as it takes

// A refusal, in the server's words; `retryAfter` in ms, 0 where nobody said.
export class Refused extends Error {
  constructor(words, status = 0, retryAfter = 0) {
    super(words);
    Object.assign(this, { status, retryAfter });
  }
}

// What one key may ask. Requests go one after the other, so that no answer is older than the one before it.
export function clientOf(key) {
  let last = Promise.resolve();
  function inTurn(path, request) {
    const asked = () => ask(path, { signal: AbortSignal.timeout(MOST_WAIT), ...request }, key);
    last = last.then(asked, asked);
    return last;
  }
  return {
    key,
    list: (before) => inTurn(before ? `?before=${encodeURIComponent(before)}` : ""),
    cancel: (id) => inTurn(`/${encodeURIComponent(id)}/cancel`, { method: "POST" }),
    remove: (id) => inTurn(`/${encodeURIComponent(id)}`, { method: "DELETE" }),
    submit: (order, once) => {
      const headers = { "content-type": "application/json", "idempotency-key": once };
      return ask("/generations", { method: "POST", headers, body: JSON.stringify(order) }, key);
    },
  };
}

async function ask(path, { headers, ...request }, key) {
  const answer = await fetch(API + path, { ...request, headers: { ...headers, "x-api-key": key }, cache: "no-store" }).catch(() => {
    throw new Refused("The server cannot be reached, or the key has letters that no key has.");
  });
  const told = await answer.json().catch(() => null);
  if (answer.ok && told) return told;
  const seconds = Number(answer.headers.get("retry-after")) || 0;
  throw new Refused(told?.error ?? `The server’s answer makes no sense (${answer.status}).`, answer.status, seconds * 1000);
}

// Reads a chosen file as a data URL.
export function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Refused("The picture cannot be read any more. Choose it again."));
    reader.readAsDataURL(file);
  });
}

// A name for one order: sent again, it is still one video.
export function onceName() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}
