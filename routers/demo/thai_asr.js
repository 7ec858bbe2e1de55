// The page: what its buttons do, and where it shows what comes back. The key stays in its input.
import { openSession } from "./session.js";
import { openFile, openMicrophone } from "./sources.js";

const LATEST = 500; // latencies that p50 and p95 are of
const MOST_FINALS = 200;
const $ = (id) => document.getElementById(id);
const latencies = { partial: [], final: [] };
let session = null; // stays open from utterance to utterance
let source = null; // what is listened to now
let isOpening = false;
let caption = { text: "", stable: "" };

function tell(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
}

// Enables what makes sense now; a focus that would be lost goes to the button that comes next.
function refresh() {
  const focused = document.activeElement;
  $("start").disabled = source !== null;
  for (const id of ["end", "flush", "reset"]) $(id).disabled = source === null;
  if (focused?.disabled) (source === null ? $("start") : $("end")).focus();
}

function show({ text, stable }) {
  caption = { text, stable: text.startsWith(stable) ? stable : "" };
  $("stable").textContent = caption.stable;
  $("rest").textContent = text.slice(caption.stable.length);
}

function rank(sorted, share) {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

function measure(kind, { latency_ms, queue_ms, decode_ms, engine }) {
  const latest = latencies[kind];
  latest.push(latency_ms);
  if (latest.length > LATEST) latest.shift();
  const sorted = latest.toSorted((a, b) => a - b);
  const figures = [latency_ms, queue_ms, decode_ms, rank(sorted, 0.5), rank(sorted, 0.95)];
  $(`of-${kind}`).querySelectorAll("td").forEach((cell, index) => (cell.textContent = figures[index]));
  $("engine").value = engine;
}

function line(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

function keep({ text, segments }) {
  const item = document.createElement("li");
  const words = Object.assign(line("p", text || "(nothing was heard)"), { lang: text ? "th" : "en" });
  const times = document.createElement("ul");
  for (const { start, end, text } of segments) {
    const said = Object.assign(line("span", text), { lang: "th" });
    const entry = line("li", `${start.toFixed(2)}–${end.toFixed(2)} s `);
    entry.append(said);
    times.append(entry);
  }
  item.append(words, times);
  $("finals").append(item);
  while ($("finals").children.length > MOST_FINALS) $("finals").firstElementChild.remove();
}

const listeners = {
  started({ engine }) {
    $("engine").value = engine;
  },
  speech_start({ offset_ms, latency_ms }) {
    $("speech").value = `from ${(offset_ms / 1000).toFixed(2)} s, known ${latency_ms} ms later`;
  },
  partial(message) {
    show({ text: message.text, stable: caption.stable });
    measure("partial", message);
  },
  stabilized_partial({ text }) {
    show({ text: caption.text, stable: text });
  },
  final(message) {
    show({ text: "", stable: "" });
    keep(message);
    measure("final", message);
    if (source === null) tell("Done. Start begins the next utterance.");
  },
  reset_ok() {
    show({ text: "", stable: "" });
    tell("Forgotten. Speak on.");
  },
  error({ code, error }) {
    tell($("status").textContent, `${error} (${code})`);
  },
  closed(which, code, why) {
    if (which !== session) return; // a newer one has taken its place, or it never began
    session = null;
    if (source === null) tell(`${why} Start opens a new session.`, $("error").textContent);
    else tell("Stopped.", $("error").textContent || why);
    halt();
  },
};

function halt() {
  source?.stop();
  source = null;
  refresh();
}

// The session that there is, if it fits; else a new one.
async function sessionFor(key, rate) {
  if (session?.isOpen() && session.key === key && session.rate === rate) return session;
  session?.close();
  session = null;
  return openSession({ key, rate, listeners });
}

async function start() {
  if (isOpening || source !== null) return;
  isOpening = true;
  tell("Opening …");
  let opened = null;
  try {
    const isFile = $("controls").elements.source.value === "file";
    opened = await (isFile ? openFile($("file").files[0]) : openMicrophone());
    session = await sessionFor($("key").value.trim(), opened.rate);
    source = opened;
    source.begin((frame) => source === opened && session.hear(frame), end); // some come behind its end
    tell(isFile ? "Playing the file to the server." : "Listening: speak now.");
  } catch (error) {
    opened?.stop();
    tell("Not started.", $("error").textContent || error.message);
  }
  isOpening = false;
  refresh();
}

function end() {
  session.say("end");
  halt();
  tell("Waiting for the final …");
}

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
$("end").addEventListener("click", end);
$("flush").addEventListener("click", () => session.say("flush"));
$("reset").addEventListener("click", () => session.say("reset"));
$("file").addEventListener("change", () => ($("controls").elements.source.value = "file"));
refresh(); // from now on it can be started
