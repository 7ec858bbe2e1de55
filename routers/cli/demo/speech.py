"""What `junctor demo` asks of the OpenAI contract and of speech-to-text, an outage included."""

import json
from collections.abc import Callable

import httpx

from junctor.routers.cli.demo.server import ENGLISH, OUTAGE, SPHINX, THAI, TINY, Server
from junctor.routers.cli.demo.steps import Step, body_of, samples_of

STT = "/speech-to-text/transcribe"
LIVE_CHUNK = 3200
"""Bytes of each message of live audio."""
OUTAGE_FIRST = "demo-with-an-outage"
"""A public name whose first candidate is down."""


def _transcription(speech: str, **fields: str) -> Callable[[Server], httpx.Response]:
    def send(server: Server) -> httpx.Response:
        audio: bytes = getattr(server, speech)
        files = {"file": ("speech.wav", audio, "audio/wav")}
        return server.client.post("/v1/audio/transcriptions", files=files, data=fields)

    return send


def _speech_to_text(
    speech: str, *, accept: str = "application/json", **fields: str
) -> Callable[[Server], httpx.Response]:
    def send(server: Server) -> httpx.Response:
        audio: bytes = getattr(server, speech)
        files = {"audio": ("speech.wav", audio, "audio/wav")}
        return server.client.post(STT, files=files, data=fields, headers={"Accept": accept})

    return send


def _live(server: Server) -> httpx.Response:
    """Stream a recording over the WebSocket as if it were spoken now, and return what was heard."""
    from websockets.sync.client import connect

    url = str(server.client.base_url).replace("http", "ws", 1).rstrip("/")
    headers = {"Authorization": server.client.headers["Authorization"]}
    rate, samples = samples_of(server.english)
    with connect(f"{url}/speech-to-text/stream", additional_headers=headers) as live:
        live.send(json.dumps({"type": "start", "provider": "whisper", "sample_rate": rate}))
        for begin in range(0, len(samples), LIVE_CHUNK):
            live.send(samples[begin : begin + LIVE_CHUNK])
        live.send(json.dumps({"type": "end"}))
        for message in live:
            heard = json.loads(message)
            if heard["type"] in {"done", "error"}:
                who = {"x-junctor-provider": heard.get("provider", "")}
                status = heard.get("status") if heard["type"] == "error" else 200
                return httpx.Response(int(status or 500), json=heard, headers=who)
    return httpx.Response(500, json={"text": "the socket closed without a word"})


def _translation(server: Server) -> httpx.Response:
    files = {"file": ("speech.wav", server.thai, "audio/wav")}
    return server.client.post("/v1/audio/translations", files=files, data={"model": "demo"})


def _error(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


def _voters(answer: httpx.Response) -> str:
    return ", ".join(answer.json()["usage"]["ensemble"])


def _refusal(answer: httpx.Response) -> str:
    return str(answer.json()["message"])


STEPS: tuple[Step, ...] = (
    Step(name="health", send=lambda s: s.client.get("/health"), expected="ok", text=body_of),
    Step(
        name="models",
        send=lambda s: s.client.get("/v1/models"),
        expected="junctortiny",
        text=body_of,
    ),
    Step(name="English", send=_transcription("english"), expected=ENGLISH, provider=TINY),
    Step(name="Thai", send=_transcription("thai"), expected=THAI, provider=TINY),
    Step(
        name="English, first provider down",
        send=_transcription("english", model=OUTAGE_FIRST),
        expected=ENGLISH,
        provider=TINY,
    ),
    Step(
        name="Thai, first provider down",
        send=_transcription("thai", model=OUTAGE_FIRST),
        expected=THAI,
        provider=TINY,
    ),
    Step(
        name="English, by pocketsphinx",
        send=_transcription("english", model="sphinx:en-us", language="en"),
        expected="",
        provider=SPHINX,
    ),
    Step(
        name="Thai as subtitles (vtt)",
        send=_transcription("thai", response_format="vtt"),
        expected=THAI,
        provider=TINY,
        text=body_of,
    ),
    Step(
        name="English as a stream (SSE)",
        send=_transcription("english", stream="true"),
        expected="transcripttextdone",
        text=body_of,
    ),
    Step(name="Thai into English", send=_translation, expected="fish", provider=TINY),
    Step(
        name="unknown model",
        send=_transcription("english", model="no-such-model"),
        expected="nosuchmodel",
        status=404,
        text=_error,
    ),
    Step(
        name="speech-to-text, Thai",
        send=_speech_to_text("thai", provider=TINY, language="th"),
        expected=THAI,
        provider=TINY,
    ),
    Step(
        name="speech-to-text, provider down, chain behind",
        send=_speech_to_text(
            "english",
            provider=OUTAGE,
            accuracy_language_policy='{"medium": {"fallback_chain": ["whisper"]}}',
        ),
        expected=ENGLISH,
        provider=TINY,
    ),
    Step(
        name="speech-to-text, two vote on each word",
        send=_speech_to_text("english", provider=TINY, accuracy="high"),
        expected="whisperjunctortinysphinxenus",
        provider=TINY,
        text=_voters,
    ),
    Step(
        name="speech-to-text, as events (SSE)",
        send=_speech_to_text("thai", accept="text/event-stream", provider=TINY, language="th"),
        expected="transcriptdone",
        text=body_of,
    ),
    Step(name="speech-to-text, live (WebSocket)", send=_live, expected=ENGLISH, provider=TINY),
    Step(
        name="speech-to-text, unknown provider",
        send=_speech_to_text("english", provider="nobody"),
        expected="unknownprovidernobody",
        status=400,
        text=_refusal,
    ),
)
