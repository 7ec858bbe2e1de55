"""
`junctor demo`: a real server, real speech, and a provider that fails on purpose.

It starts a server of its own on a free port with a temporary data folder, speaks sentences with
eSpeak NG, sends them through every contract over HTTP, and prints what came back and from whom.
Later contracts add their steps to `STEPS`.
"""

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import httpx
from attrs import field, frozen

from junctor.core.errors import JunctorError

if TYPE_CHECKING:
    from junctor.core.audio.espeak import Espeak

ENGLISH = "please open the door"
THAI = "ผม อยาก กิน ปลา"
"""Sentences that the tiny model was made for; eSpeak's Thai wants its words apart."""
STT = "/speech-to-text/transcribe"
LIVE_CHUNK = 3200
"""Bytes of each message of live audio."""
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0

CONFIG = """
extends = "default"
default_model = "demo"

[server]
port = 0

[storage]
data_dir = "{data_dir}"

# A vendor that nobody runs: every call to it is refused, as in an outage.
[plugins.openai.providers.outage]
base_url = "http://127.0.0.1:{dead_port}/v1"
api_key = "no-key-is-needed-where-nobody-answers"
models.whisper-1 = {{}}

[policy.tiers.high]
ensemble = ["sphinx:en-us"]

[models.demo]
chain = ["whisper:junctor-tiny", "sphinx:en-us"]

[models.demo-with-an-outage]
chain = ["outage:whisper-1", "whisper:junctor-tiny", "sphinx:en-us"]
"""


@frozen(kw_only=True)
class Row:
    """One line of the table."""

    step: str
    answer: str
    provider: str = ""
    attempts: str = ""
    seconds: float = 0.0
    is_good: bool


@frozen(kw_only=True)
class Server:
    """The server that the demo started, and the speech it sends."""

    client: httpx.Client
    english: bytes
    thai: bytes


@frozen(kw_only=True)
class Step:
    """One request, and what its answer must hold."""

    name: str
    send: Callable[[Server], httpx.Response]
    expected: str
    """Must be part of the answer; letters only, compared without spaces or case."""
    provider: str = ""
    """Who must have answered; empty for anyone."""
    status: int = 200
    text: Callable[[httpx.Response], str] = field(default=lambda answer: str(answer.json()["text"]))


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
    with wave.open(io.BytesIO(server.english)) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
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


def _body(answer: httpx.Response) -> str:
    return answer.text


def _error(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


def _voters(answer: httpx.Response) -> str:
    return ", ".join(answer.json()["usage"]["ensemble"])


def _refusal(answer: httpx.Response) -> str:
    return str(answer.json()["message"])


_TINY, _SPHINX = "whisper", "sphinx"
_OUTAGE = "demo-with-an-outage"

STEPS: tuple[Step, ...] = (
    Step(name="health", send=lambda s: s.client.get("/health"), expected="ok", text=_body),
    Step(
        name="models", send=lambda s: s.client.get("/v1/models"), expected="junctortiny", text=_body
    ),
    Step(name="English", send=_transcription("english"), expected=ENGLISH, provider=_TINY),
    Step(name="Thai", send=_transcription("thai"), expected=THAI, provider=_TINY),
    Step(
        name="English, first provider down",
        send=_transcription("english", model=_OUTAGE),
        expected=ENGLISH,
        provider=_TINY,
    ),
    Step(
        name="Thai, first provider down",
        send=_transcription("thai", model=_OUTAGE),
        expected=THAI,
        provider=_TINY,
    ),
    Step(
        name="English, by pocketsphinx",
        send=_transcription("english", model="sphinx:en-us", language="en"),
        expected="",
        provider=_SPHINX,
    ),
    Step(
        name="Thai as subtitles (vtt)",
        send=_transcription("thai", response_format="vtt"),
        expected=THAI,
        provider=_TINY,
        text=_body,
    ),
    Step(
        name="English as a stream (SSE)",
        send=_transcription("english", stream="true"),
        expected="transcripttextdone",
        text=_body,
    ),
    Step(name="Thai into English", send=_translation, expected="fish", provider=_TINY),
    Step(
        name="unknown model",
        send=_transcription("english", model="no-such-model"),
        expected="nosuchmodel",
        status=404,
        text=_error,
    ),
    Step(
        name="speech-to-text, Thai",
        send=_speech_to_text("thai", provider=_TINY, language="th"),
        expected=THAI,
        provider=_TINY,
    ),
    Step(
        name="speech-to-text, provider down, chain behind",
        send=_speech_to_text(
            "english",
            provider="outage",
            accuracy_language_policy='{"medium": {"fallback_chain": ["whisper"]}}',
        ),
        expected=ENGLISH,
        provider=_TINY,
    ),
    Step(
        name="speech-to-text, two vote on each word",
        send=_speech_to_text("english", provider=_TINY, accuracy="high"),
        expected="whisperjunctortinysphinxenus",
        provider=_TINY,
        text=_voters,
    ),
    Step(
        name="speech-to-text, as events (SSE)",
        send=_speech_to_text("thai", accept="text/event-stream", provider=_TINY, language="th"),
        expected="transcriptdone",
        text=_body,
    ),
    Step(name="speech-to-text, live (WebSocket)", send=_live, expected=ENGLISH, provider=_TINY),
    Step(
        name="speech-to-text, unknown provider",
        send=_speech_to_text("english", provider="nobody"),
        expected="unknownprovidernobody",
        status=400,
        text=_refusal,
    ),
)


def run() -> list[Row]:
    """
    Run the demo; a row for each step, bad ones too.

    Raises:
        NotConfiguredError: the extra `espeak` is not installed.
        JunctorError: the server did not start.

    """
    with _server() as server:
        return [_row(step, server) for step in STEPS]


def _row(step: Step, server: Server) -> Row:
    begin = monotonic()
    try:
        answer = step.send(server)
        said = step.text(answer) if answer.status_code == step.status else answer.text
    except (httpx.HTTPError, ValueError, LookupError) as error:
        return Row(step=step.name, answer=f"{type(error).__name__}: {error}", is_good=False)
    who = f"{answer.headers.get('x-junctor-provider', '')}"
    is_good = (
        answer.status_code == step.status
        and _letters(step.expected) in _letters(said)
        and step.provider in {"", who}
    )
    return Row(
        step=step.name,
        answer=" ".join(said.split()),
        provider=who,
        attempts=answer.headers.get("x-junctor-attempts", ""),
        seconds=monotonic() - begin,
        is_good=is_good,
    )


def _letters(text: str) -> str:
    # Thai vowels and tone marks are no letters to `isalpha`, but they are no punctuation either.
    return "".join(c for c in text.lower() if c.isalnum() or "\u0e00" <= c <= "\u0e7f")


@contextmanager
def _server() -> Iterator[Server]:
    from junctor.core.audio.espeak import Espeak

    voice = Espeak()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="junctor-demo-")))
        dead = stack.enter_context(socket.socket())
        dead.bind(("127.0.0.1", 0))  # bound and never listening: every connection is refused
        config = folder / "junctor.toml"
        config.write_text(
            CONFIG.format(data_dir=(folder / "data").as_posix(), dead_port=dead.getsockname()[1]),
            encoding="utf-8",
        )
        key = _junctor(config, "keys", "create", "--team", "demo")
        url = stack.enter_context(_serving(config))
        client = stack.enter_context(
            httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=ANSWER_SECONDS,
                trust_env=False,
            )
        )
        yield Server(
            client=client,
            english=_spoken(voice, ENGLISH, "en-us"),
            thai=_spoken(voice, THAI, "th"),
        )


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "junctor.routers.cli", *arguments]


def _environment(config: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUNCTOR_")}
    return {**kept, "JUNCTOR_CONFIG": str(config)}


def _junctor(config: Path, *arguments: str) -> str:
    done = subprocess.run(
        _command(*arguments),
        env=_environment(config),
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    if done.returncode != 0:
        raise JunctorError(f"`junctor {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def _serving(config: Path) -> Iterator[str]:
    log = config.with_suffix(".log")
    with log.open("wb") as errors:
        child = subprocess.Popen(
            _command("serve"), env=_environment(config), stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield _announced(child, log)
    finally:
        child.terminate()
        try:
            child.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _announced(child: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the URL that the server prints when it listens."""
    assert child.stdout is not None  # noqa: S101  # it was asked for
    line = child.stdout.readline().decode()
    begin = line.find("http://")
    if begin < 0:
        raise JunctorError(f"The server did not start: {log.read_text('utf-8').strip()[-2000:]}")
    return line[begin:].split()[0]


def _spoken(voice: "Espeak", text: str, name: str) -> bytes:
    """Return a WAV file, 16-bit mono, of a text in a voice."""
    speech = voice.speak(text, voice=name)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.sample_rate)
        file.writeframes(speech.samples.tobytes())
    return out.getvalue()
