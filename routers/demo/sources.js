// Where sound comes from: a microphone or a file, as frames of 20 ms of 16-bit samples, one channel.
const FRAME_MS = 20;
const FILE_RATE = 16_000;
const MOST_RATE = 48_000; // Hz that the server takes

// Opens the microphone; the browser asks its user. Frames come from `begin` until `stop`.
export async function openMicrophone() {
  if (!navigator.mediaDevices) throw new Error("The browser lends its microphone to https pages and to localhost only.");
  const audio = { echoCancellation: false, noiseSuppression: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
    throw new Error(`There is no microphone for this page: ${error.message}.`);
  });
  // At its own rate: not every browser resamples a microphone.
  let context = new AudioContext();
  if (context.sampleRate > MOST_RATE) {
    context.close();
    context = new AudioContext({ sampleRate: MOST_RATE });
  }
  function stop() {
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  }
  try {
    await context.audioWorklet.addModule(new URL("frames.js", import.meta.url));
  } catch (error) {
    stop();
    throw error;
  }
  function begin(send) {
    const frames = new AudioWorkletNode(context, "frames");
    frames.port.onmessage = ({ data }) => send(data);
    context.createMediaStreamSource(stream).connect(frames).connect(context.destination); // where it is silent
    context.resume();
  }
  return { rate: context.sampleRate, begin, stop };
}

// Reads a recording in any container that the browser decodes; frames come as fast as it was spoken.
export async function openFile(file) {
  if (!file) throw new Error("Choose a file first.");
  const decoder = new OfflineAudioContext(1, 1, FILE_RATE); // which resamples too
  const audio = await decoder.decodeAudioData(await file.arrayBuffer()).catch(() => {
    throw new Error("The browser finds no sound that it can decode in this file.");
  });
  const samples = mixed(audio);
  const size = (FILE_RATE * FRAME_MS) / 1000;
  let timer;
  function begin(send, ended) {
    const begun = performance.now();
    let at = 0;
    timer = setInterval(() => {
      const due = ((performance.now() - begun) / FRAME_MS) * size; // browsers slow timers of hidden pages
      for (; at < due && at < samples.length; at += size) send(samples.subarray(at, at + size));
      if (at >= samples.length) ended();
    }, FRAME_MS);
  }
  return { rate: FILE_RATE, begin, stop: () => clearInterval(timer) };
}

function mixed(audio) {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index));
  return Int16Array.from({ length: audio.length }, (_, at) => {
    const mean = channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length;
    return Math.max(-1, Math.min(1, mean)) * 32767;
  });
}
