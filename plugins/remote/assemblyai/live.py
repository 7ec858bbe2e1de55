"""AssemblyAI's v3 socket: what is asked, and its turns as live events."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from junctor.core.cards import Feature, ModelCard
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Socket, Target
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, Word
from junctor.plugins.remote.assemblyai.cards import NAME, expected, tag_of, written
from junctor.plugins.remote.live import BYTES_PER_SECOND
from junctor.plugins.remote.vendor import read

CHUNK_SECONDS = 0.1
"""Length of the chunks that are sent; 0.05 to 1 is allowed."""
_SHORTEST_CHUNK = BYTES_PER_SECOND // 20

_AUTH = (ProviderAuthError, "refused our credentials; check its api_key")
_QUOTA = (ProviderQuotaError, "says our credits are used up; top it up")
_RATE = (ProviderRateLimitedError, "asks us to slow down")
_REFUSED = (ProviderRejectedError, "refuses this session")
_FAILED = (ProviderUnavailableError, "ended the session too soon")
_CODES: dict[int, tuple[type[ProviderError], str]] = {
    1008: _AUTH,
    3006: _REFUSED,
    3007: _REFUSED,  # chunks too short, too long or too fast
    3009: _RATE,  # too many sessions
    4000: _REFUSED,
    4001: _AUTH,
    4002: _QUOTA,
    4003: _QUOTA,  # a paid plan is wanted
    4029: _RATE,
    4032: _REFUSED,
    4033: _REFUSED,
    4034: _REFUSED,
    4100: _REFUSED,
    4101: _REFUSED,
    4102: _RATE,
}
"""Close codes, which `Error` messages carry too; all others are failures of the server."""


class _Word(msgspec.Struct):
    text: str
    start: int
    end: int
    confidence: float | None = None
    speaker: str | None = None


class _Message(msgspec.Struct):
    """Any message; only a `Turn` has more than the first three fields."""

    type: str = ""
    error_code: int | None = None
    error: str = ""
    turn_order: int = 0
    turn_is_formatted: bool = False
    end_of_turn: bool = False
    transcript: str = ""
    words: list[_Word] = []
    language_code: str | None = None
    speaker_label: str | None = None


def query(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    """
    Return the parameters of the session.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    fields = [("sample_rate", "16000"), ("encoding", "pcm_s16le"), ("speech_model", card.id)]
    codes = expected(request.allowed_languages, card, target)
    if request.language is not None:
        codes = [written(request.language, card, target)]
    if card.id.startswith("universal-3"):  # these format every turn, and take languages
        if codes:
            fields.append(("language_codes", msgspec.json.encode(codes).decode()))
    else:
        fields.append(("format_turns", "true"))
    if Feature.AUTO_LANGUAGE in card.features:
        fields.append(("language_detection", "true"))
    if request.diarization and Feature.DIARIZATION in card.features:
        fields.append(("speaker_labels", "true"))
    return fields


async def begun(socket: Socket, *, within: float) -> None:
    """
    Wait until the session has begun.

    Raises:
        ProviderError: it does not begin; the subclass says why.

    """
    try:
        async with asyncio.timeout(within):
            message = await socket.receive()
            while message is not None:
                event = read(message, _Message, socket.target)
                _check(event, socket.target)
                if event.type == "Begin":
                    return
                message = await socket.receive()
    except TimeoutError as exc:
        raise ProviderTimeoutError(
            f"{NAME} did not begin the session in time.", provider=NAME, model=socket.target.model
        ) from exc
    raise _refusal(socket.close_code, socket.target)


async def say(socket: Socket, chunk: bytes) -> None:
    """Send a chunk; one that is too short for the vendor gets silence behind it."""
    await socket.send_bytes(chunk.ljust(_SHORTEST_CHUNK, b"\0"))


@contextmanager
def told(socket: Socket) -> Iterator[None]:
    """
    Tell what a close code means.

    Raises:
        ProviderError: the connection was closed with such a code.

    """
    try:
        yield
    except ProviderUnavailableError as exc:
        if socket.close_code in _CODES:
            raise _refusal(socket.close_code, socket.target) from exc
        raise


def _refusal(code: int | None, target: Target) -> ProviderError:
    error, sentence = _CODES.get(code or 0, _FAILED)
    said = f" (code {code})" if code else ""
    return error(f"{NAME} {sentence}{said}.", provider=NAME, model=target.model)


def _check(event: _Message, target: Target) -> None:
    if event.type != "Error":
        return
    if "balance" in event.error.lower() or "funds" in event.error.lower():
        raise _refusal(4002, target)
    raise _refusal(event.error_code, target)


class Turns:
    """
    The turns of one session as events.

    A turn that has ended may come twice, as heard and then formatted; the second is the final,
    and the first only where no second comes.
    """

    def __init__(self, request: LiveRequest) -> None:
        self._language = request.language
        self._held: _Message | None = None
        self._said_until = 0.0
        self.is_over = False

    def heard(self, message: bytes, target: Target) -> Iterator[LiveEvent]:
        """
        Yield the events of a message.

        Raises:
            ProviderError: it says that the session has failed, or makes no sense.

        """
        event = read(message, _Message, target)
        _check(event, target)
        self.is_over = event.type == "Termination"
        if event.type != "Turn":
            return
        if self._held is not None and event.turn_order > self._held.turn_order:
            yield from self._released()
        if event.end_of_turn and event.turn_is_formatted:
            self._held = None
            yield from self._final(event)
            return
        if event.end_of_turn:
            self._held = event
        if text := _running(event):
            yield LivePartial(text=text, language=self._tag(event))

    def rest(self, target: Target) -> Iterator[LiveFinal]:
        """
        Yield the last turn where it ended and was never formatted.

        Raises:
            ProviderUnavailableError: the session has not come to its end.

        """
        if not self.is_over:
            raise _refusal(None, target)
        yield from self._released()

    def _released(self) -> Iterator[LiveFinal]:
        held, self._held = self._held, None
        if held is not None:
            yield from self._final(held)

    def _final(self, turn: _Message) -> Iterator[LiveFinal]:
        text = turn.transcript.strip()
        if not text:
            return
        start = max(self._said_until, turn.words[0].start / 1000 if turn.words else 0.0)
        end = max(start, turn.words[-1].end / 1000 if turn.words else 0.0)
        self._said_until = end
        sure = [one.confidence for one in turn.words if one.confidence is not None]
        yield LiveFinal(
            text=text,
            start=start,
            end=end,
            words=tuple(_word(one, turn) for one in turn.words if one.text.strip()),
            language=self._tag(turn),
            confidence=sum(sure) / len(sure) if sure else None,
        )

    def _tag(self, turn: _Message) -> str | None:
        return tag_of(turn.language_code) or self._language


def _running(turn: _Message) -> str:
    """Return all words so far; some models leave those out of the text that may still change."""
    words = " ".join(one.text.strip() for one in turn.words)
    return max(turn.transcript.strip(), words, key=lambda text: len(text.replace(" ", "")))


def _word(word: _Word, turn: _Message) -> Word:
    return Word(
        text=word.text.strip(),
        start=word.start / 1000,
        end=word.end / 1000,
        confidence=word.confidence,
        speaker=word.speaker or turn.speaker_label,
    )
