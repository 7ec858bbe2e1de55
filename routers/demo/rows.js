// One job as it stands in the list. It is changed in place: a video that plays goes on, a focus stays.
const STATES = { queued: "Waiting", processing: "In work", done: "Done", failed: "Failed", canceled: "Cancelled" };
const STAGES = {
  starting: "starting",
  loading: "the model is loaded",
  preparing: "the picture is prepared",
  generating: "generating",
  decoding: "frames are decoded",
  encoding: "the file is written",
  storing: "the file is put away",
};
const ROOT = new URL("../..", import.meta.url); // of the server, which may lie below a path of its host
const template = document.querySelector("#job");

// Files are asked for once their row is about to be seen.
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      if (target.dataset.poster) target.poster = target.dataset.poster;
      target.preload = "metadata";
      target.src = target.dataset.src;
    }
  },
  { rootMargin: "300px" },
);

export const isOver = ({ status }) => status !== "queued" && status !== "processing";
export const nameOf = ({ prompt }) => `“${prompt.length > 40 ? `${prompt.slice(0, 40)}…` : prompt}”`;

// Where a file is that the server names by its own path.
const fileOf = (path) => (path ? new URL(path.replace(/^\//, ""), ROOT).href : "");

function put(element, text) {
  if (element.textContent !== text) element.textContent = text; // else a selection would be lost
}

function stageOf({ status, progress = {} }, ahead) {
  if (status === "queued") {
    if (progress.ahead > 0) return `${progress.ahead} before it`;
    if (progress.ahead === 0) return "next in line";
    return ahead > 0 ? `${ahead} of the team’s before it` : "the team’s next"; // of other teams the list tells nothing
  }
  if (status !== "processing") return "";
  const { stage, step, steps, percent, engine } = progress;
  const words = [STAGES[stage] ?? stage, steps ? `step ${step} of ${steps}` : "", `${percent} %`, engine ? `by ${engine}` : ""];
  return words.filter(Boolean).join(", ");
}

// Makes the row of a job, to be updated at once; `on` has `cancel` and `remove`, which get its id.
export function rowOf(job, on) {
  const element = template.content.firstElementChild.cloneNode(true);
  const part = (name) => element.querySelector(name);
  const [picture, video, bar] = ["img", "video", "progress"].map(part);
  const [cancel, remove, download] = [".cancel", ".delete", ".download"].map(part);
  const row = { job, element, update };

  const { request_id: id, aspect_ratio, duration, resolution, model, seed, created_at } = job;
  element.dataset.aspect = aspect_ratio;
  part(".prompt").textContent = job.prompt;
  part(".prompt").id = `prompt-of-${id}`;
  const when = new Date(created_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  part(".facts").textContent = [when, model, `${duration} s`, aspect_ratio, resolution, `seed ${seed}`].join(" · ");
  for (const one of [element, video, bar, cancel, remove, download]) one.setAttribute("aria-describedby", `prompt-of-${id}`);
  bar.ariaLabel = "How much is done";
  video.ariaLabel = "Video";

  cancel.addEventListener("click", () => on.cancel(id));
  remove.addEventListener("click", () => {
    if (remove.dataset.sure) on.remove(id);
    else ask(true);
  });
  remove.addEventListener("blur", () => ask(false));
  function ask(isSure) {
    remove.dataset.sure = isSure ? "yes" : "";
    put(remove, isSure ? "Delete for good" : "Delete");
  }

  // Shows a file, or none; the same one is left alone.
  function showFiles({ video: file, image_url }) {
    const [url, still] = [file?.url, image_url].map(fileOf);
    if (url && video.dataset.src !== url) {
      Object.assign(video.dataset, { src: url, poster: still });
      near.observe(video);
    } else if (!url && video.dataset.src) {
      near.unobserve(video);
      delete video.dataset.src;
      for (const name of ["src", "poster"]) video.removeAttribute(name);
      video.load();
    }
    const shown = url ? "" : still;
    if (shown && picture.getAttribute("src") !== shown) picture.src = shown;
    picture.hidden = !shown;
    video.hidden = !url;
    download.hidden = !url;
    if (url) download.href = url;
    element.classList.toggle("bare", !url && !shown);
  }

  // Shows how far it is; `ahead` is how many of the list go before it. What is over stays over.
  function update(next, ahead) {
    if (isOver(row.job) && !isOver(next)) return;
    const focused = document.activeElement;
    row.job = next;
    element.dataset.status = next.status;
    showFiles(next);
    const isGone = next.status === "done" && !next.video;
    put(part(".state"), STATES[next.status] ?? next.status);
    put(part(".stage"), isGone ? "the file was deleted, or its time is over" : stageOf(next, ahead));
    put(part(".failure"), next.error ?? "");
    bar.hidden = next.status !== "processing";
    bar.value = next.progress?.percent ?? 0;
    cancel.hidden = isOver(next);
    remove.hidden = !isOver(next) || !(next.video || next.image_url);
    if (element.contains(focused) && !focused.checkVisibility()) (remove.hidden ? element : remove).focus();
  }
  return row;
}
