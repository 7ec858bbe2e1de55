// Looks again and again while there is something to see: never for a hidden page, and slower where that fails.
const BEAT = 2_000; // ms
const LONGEST = 60_000;

// `look` resolves to whether to look again; `failed` takes the error and returns whether to go on.
export function watch(look, failed) {
  let timer = null;
  let failures = 0;
  let isLooking = false;
  let isStopped = false;
  let isDue = false; // a look that the page was hidden for, or that came during another one

  function later(delay) {
    clearTimeout(timer);
    timer = setTimeout(now, delay);
  }
  async function now() {
    clearTimeout(timer);
    if (isStopped) return;
    isDue = isLooking || document.hidden;
    if (isDue) return;
    isLooking = true;
    try {
      const isMore = await look();
      failures = 0;
      if (isMore) later(BEAT);
    } catch (error) {
      failures += 1;
      isDue = false;
      if (!isStopped && failed(error)) later(Math.max(error.retryAfter ?? 0, Math.min(LONGEST, BEAT * 2 ** failures)));
    }
    isLooking = false;
    if (isDue) now();
  }
  function shown() {
    if (isDue && !document.hidden && !isLooking) now();
  }
  document.addEventListener("visibilitychange", shown);
  function stop() {
    isStopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", shown);
  }
  return { now, stop };
}
