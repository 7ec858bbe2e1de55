const API_KEY = "YOUR_API_KEY";
const HTTP_BASE = "https://kaleidovid.com";
const config = await fetch(`${HTTP_BASE}/api/thai-asr/config`, {
headers: { "x-api-key": API_KEY },
}).then(async (response) => {
if (!response.ok) throw new Error(await response.text());
return response.json();
});
const session = await fetch(`${HTTP_BASE}/api/thai-asr/sessions`, {
method: "POST",
headers: {
"Content-Type": "application/json",
"x-api-key": API_KEY,
},
body: JSON.stringify({
sample_rate: 16000,
frame_ms: 20,
partial_interval_ms: 40,
min_decode_audio_ms: 240,
decode_window_ms: 1600,
vad: true,
}),
}).then(async (response) => {
if (!response.ok) throw new Error(await response.text());
return response.json();
});
const wsUrl = `${session.ws_url}&api_key=${encodeURIComponent(API_KEY)}`;
const socket = new WebSocket(wsUrl);
socket.onmessage = (event) => {
const payload = JSON.parse(event.data);
switch (payload.type) {
case "ready":
socket.send(JSON.stringify({
type: "start",
sample_rate: 16000,
frame_ms: 20,
partial_interval_ms: 40,
min_decode_audio_ms: 240,
decode_window_ms: 1600,
vad: true,
}));
break;
case "partial":
case "stabilized_partial":
console.log("live", payload.text);
break;
case "final":
console.log("final", payload.text, payload.segments);
break;
case "error":
console.error(payload.code, payload.error);
break;
}
};
// `pcmChunks` must contain raw PCM16LE mono audio frames.
// Do not send WAV headers after the socket is started.
for (const chunk of pcmChunks) {
socket.send(chunk);
}
socket.send(JSON.stringify({ type: "flush" }));
socket.send(JSON.stringify({ type: "end" }));
