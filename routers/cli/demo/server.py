"""The server that `junctor demo` starts, and the speech that it is sent."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from attrs import frozen

from junctor.core.errors import JunctorError

if TYPE_CHECKING:
    from junctor.core.audio.espeak import Espeak

ENGLISH = "please open the door"
THAI = "ผม อยาก กิน ปลา"
THANKS = "ขอบคุณ มาก ครับ"
"""Sentences that the tiny model was made for; eSpeak's Thai wants its words apart."""
TINY, SPHINX, CHAT, OUTAGE = "whisper", "sphinx", "ctranslate2", "outage"
"""Providers of the demo: who answers, who is asked by name, and who is down."""
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
models.gpt-none-of-it = {{ capabilities = ["chat"] }}

[policy.tiers.high]
ensemble = ["sphinx:en-us"]

[models.demo]
chain = ["whisper:junctor-tiny", "sphinx:en-us"]

[models.demo-chat-with-an-outage]
chain = ["outage:gpt-none-of-it", "ctranslate2:junctor-tiny-chat"]

[models.demo-with-an-outage]
chain = ["outage:whisper-1", "whisper:junctor-tiny", "sphinx:en-us"]
"""


@frozen(kw_only=True)
class Server:
    """The server that the demo started, and the speech it sends: WAV files, 16-bit, mono."""

    client: httpx.Client
    key: str
    english: bytes
    thai: bytes
    thanks: bytes


@contextmanager
def running() -> Iterator[Server]:
    """
    Run a server of its own on a free port, its data in a folder that is deleted at the end.

    Raises:
        NotConfiguredError: the extra `espeak` is not installed.
        JunctorError: the server did not start.

    """
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
            key=key,
            english=_spoken(voice, ENGLISH, "en-us"),
            thai=_spoken(voice, THAI, "th"),
            thanks=_spoken(voice, THANKS, "th"),
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
