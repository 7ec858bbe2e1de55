// In the audio thread: cuts what the microphone gives into frames of 20 ms, 16-bit, one channel.
class Frames extends AudioWorkletProcessor {
  frame = new Int16Array(Math.round(sampleRate / 50));
  filled = 0;

  process([channels]) {
    for (let at = 0; at < (channels[0]?.length ?? 0); at++) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      this.frame[this.filled++] = Math.max(-1, Math.min(1, sum / channels.length)) * 32767;
      if (this.filled === this.frame.length) this.pass();
    }
    return true;
  }

  pass() {
    this.port.postMessage(this.frame, [this.frame.buffer]);
    this.frame = new Int16Array(Math.round(sampleRate / 50));
    this.filled = 0;
  }
}

registerProcessor("frames", Frames);
