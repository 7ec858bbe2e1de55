// The page: its forms, and the list of jobs. The key stays in its input and in `client`.
import { clientOf, dataUrl, onceName } from "./generations.js";
import { isOver, nameOf, rowOf } from "./rows.js";
import { watch } from "./watch.js";

const ENDS = { done: "is done", failed: "has failed", canceled: "is cancelled" };
const $ = (id) => document.getElementById(id);
let client = null; // of the key whose jobs are shown
let watching = null;
let rows = new Map(); // by id, in any order; ids grow with time
let before = null; // where the next look begins; null for the newest
let once = ""; // the name of the order in the form, until it is changed or taken
let isSending = false;
let isOld = false; // whether the last look failed
let counted = "";

function tell(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error;
}

const newestFirst = () => [...rows.values()].toSorted((a, b) => (a.job.request_id < b.job.request_id ? 1 : -1));

function add(job) {
  const row = rowOf(job, { cancel, remove });
  const older = newestFirst().find((other) => other.job.request_id < job.request_id);
  $("jobs").insertBefore(row.element, older?.element ?? null);
  rows.set(job.request_id, row);
  return row;
}

// Takes a page of the list in; returns what is over by now, and was not before.
function take({ data, has_more: hasMore }, isNewest) {
  const oldest = newestFirst().at(-1)?.job.request_id;
  const last = data.at(-1)?.request_id;
  if (isNewest && hasMore && newestFirst()[0]?.job.request_id < last) reset(); // else some would be missing between
  if (!rows.size || last < oldest) $("more").hidden = !hasMore;
  const ended = [];
  let ahead = [...rows.values()].filter(({ job }) => job.status === "queued" && job.request_id < last).length;
  for (const job of data.toReversed()) {
    const row = rows.get(job.request_id);
    if (row && isOver(job) && !isOver(row.job)) ended.push(job);
    (row ?? add(job)).update(job, ahead);
    if (job.status === "queued") ahead += 1;
  }
  return ended;
}

function reset() {
  rows = new Map();
  before = null;
  $("jobs").replaceChildren();
  $("more").hidden = true;
}

// One look at a page that has something unfinished, in turn, and at the newest.
async function look() {
  const asked = client;
  const page = await asked.list(before);
  if (asked !== client) return false; // of a key that was changed meanwhile
  const ended = take(page, before === null);
  const last = page.data.at(-1)?.request_id;
  const sorted = newestFirst();
  const next = sorted.findIndex(({ job }) => !isOver(job) && job.request_id < last);
  before = next > 0 ? sorted[next - 1].job.request_id : null;
  summarize(ended);
  return sorted.some(({ job }) => !isOver(job));
}

function summarize(ended) {
  const jobs = [...rows.values()].map(({ job }) => job);
  const count = (status) => jobs.filter((job) => job.status === status).length;
  const known = counted;
  counted = jobs.length ? `${count("processing")} in work, ${count("queued")} waiting.` : "There are no videos yet.";
  const news = ended.map((job) => `${nameOf(job)} ${ENDS[job.status]}.`);
  if (isOld) tell("");
  if (news.length || isOld || counted !== known) $("status").textContent = [...news, counted].join(" ");
  isOld = false;
}

// Says what went wrong with a look; what the key is to blame for ends the looking.
function failed(error) {
  isOld = true;
  const isKey = error.status === 401 || error.status === 403;
  tell(isKey ? "Stopped: enter a good key, and show its videos." : "The list is old; it is asked for again soon.", error.message);
  return !isKey;
}

// Begins with the list of the key that is entered, or looks again.
function open() {
  const key = $("key").value.trim();
  if (client?.key !== key) {
    watching?.stop();
    reset();
    client = clientOf(key);
    watching = watch(look, failed);
    counted = "";
    tell("Asking …");
  }
  before = null;
  return watching.now();
}

// Has something done to a job, and shows what has become of it.
async function change(id, deed, gone = {}) {
  const asked = client;
  $("error").textContent = "";
  try {
    const told = await deed(asked);
    const row = rows.get(id);
    if (asked !== client || !row) return;
    const isNews = !isOver(row.job) && isOver(told);
    row.update({ ...row.job, progress: undefined, video: undefined, ...told, ...gone }, 0);
    summarize(isNews ? [row.job] : []);
    watching.now();
  } catch (error) {
    if (asked === client) tell("Not done.", error.message);
  }
}

const cancel = (id) => change(id, (asked) => asked.cancel(id));
const remove = (id) => change(id, (asked) => asked.remove(id), { image_url: undefined });

async function more() {
  const asked = client;
  const oldest = newestFirst().at(-1).job.request_id;
  try {
    const page = await asked.list(oldest);
    if (asked !== client) return;
    take(page, false);
    rows.get(page.data[0]?.request_id)?.element.focus();
    if (!page.data.length) $("more").hidden = true;
    watching.now(); // some of them may be unfinished
  } catch (error) {
    if (asked === client) tell("Not shown.", error.message);
  }
}

async function ordered() {
  const { picture, prompt, duration, aspect_ratio, resolution, model, seed } = $("order").elements;
  const order = { prompt: prompt.value, duration: Number(duration.value), model: model.value };
  Object.assign(order, { aspect_ratio: aspect_ratio.value, resolution: resolution.value });
  if (seed.value) order.seed = Number(seed.value);
  return { ...order, image: { url: await dataUrl(picture.files[0]) } };
}

async function submit() {
  if (isSending || !$("access").reportValidity()) return;
  isSending = true;
  tell("The picture is sent …");
  once ||= onceName();
  const name = once;
  try {
    const key = $("key").value.trim();
    const taken = await (client?.key === key ? client : clientOf(key)).submit(await ordered(), name);
    if (once === name) once = "";
    tell(`Taken: ${taken.status}.`);
    open();
  } catch (error) {
    tell("Not taken.", error.message);
  }
  isSending = false;
}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  open();
});
$("order").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("order").addEventListener("input", () => (once = ""));
$("picture").addEventListener("change", () => {
  URL.revokeObjectURL($("preview").src);
  const [file] = $("picture").files;
  $("preview").hidden = !file;
  if (file) $("preview").src = URL.createObjectURL(file);
});
$("more").addEventListener("click", more);
for (const id of ["show", "submit"]) $(id).disabled = false; // from now on they do something
