"""A step of `junctor demo`: one request, what its answer must hold, and the row that says so."""

import io
import wave
from collections.abc import Callable
from time import monotonic

import httpx
from attrs import field, frozen
from websockets.exceptions import WebSocketException

from junctor.routers.cli.demo.server import Server


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


def body_of(answer: httpx.Response) -> str:
    """Return the whole answer."""
    return answer.text


def samples_of(recording: bytes) -> tuple[int, bytes]:
    """Return the rate (Hz) and the samples of a WAV file."""
    with wave.open(io.BytesIO(recording)) as file:
        return file.getframerate(), file.readframes(file.getnframes())


def row_of(step: Step, server: Server) -> Row:
    """Do a step."""
    begin = monotonic()
    try:
        answer = step.send(server)
        said = step.text(answer) if answer.status_code == step.status else answer.text
    except (httpx.HTTPError, WebSocketException, OSError, ValueError, LookupError) as error:
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
