"""ElevenLabs' realtime socket: what is asked, what is said, and its messages as live events."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator

import msgspec
from attrs import evolve

from junctor.core.cards import ModelCard
from junctor.core.errors import (
    ProviderAuthError,
    ProviderBusyError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Socket, Target
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial
from junctor.plugins.remote.elevenlabs import wire
from junctor.plugins.remote.elevenlabs.cards import NAME, expected, written
from junctor.plugins.remote.live import BYTES_PER_SECOND
from junctor.plugins.remote.vendor import read

CHUNK_SECONDS = 0.1
_PAUSE = bytes(round(0.35 * BYTES_PER_SECOND))
"""Silence before the end: what is shorter than 0.3 s is not finished by the server."""
_WORDS = "committed_transcript_with_timestamps"
_NOTHING_LEFT = frozenset({"commit_throttled", "insufficient_audio_activity"})

_REFUSED = (ProviderRejectedError, "refuses this session")
_FAILED = (ProviderUnavailableError, "ended the session too soon")
_ERRORS: dict[str, tuple[type[ProviderError], str]] = {
    "auth_error": (ProviderAuthError, "refused our credentials; check its api_key"),
    "unaccepted_terms": (ProviderAuthError, "wants its terms accepted by the account's owner"),
    "unaccepted_terms_error": (
        ProviderAuthError,
        "wants its terms accepted by the account's owner",
    ),
    "quota_exceeded": (ProviderQuotaError, "says our credits are used up; top it up"),
    "rate_limited": (ProviderRateLimitedError, "asks us to slow down"),
    "queue_overflow": (ProviderBusyError, "has too much to do"),
    "resource_exhausted": (ProviderBusyError, "has too much to do"),
    "commit_throttled": _REFUSED,
    "input_error": _REFUSED,
    "invalid_request": _REFUSED,
    "chunk_size_exceeded": _REFUSED,
    "error": _FAILED,
    "transcriber_error": _FAILED,
    "session_time_limit_exceeded": _FAILED,
    "insufficient_audio_activity": _FAILED,
}


class _Message(msgspec.Struct):
    """Any message; which fields it has depends on its type."""

    message_type: str = ""
    text: str = ""
    language_code: str | None = None
    words: list[wire.WireWord] | None = None
    error_type: str = ""
    error: object = None

    @property
    def fault(self) -> str:
        """The name of its error; empty where it is none."""
        if self.message_type == "error" and self.error_type in _ERRORS:
            return self.error_type
        if self.message_type in _ERRORS:
            return self.message_type
        return "error" if self.error is not None else ""


def query(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    """
    Return the parameters of the session.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    fields = [
        ("model_id", card.id),
        ("audio_format", "pcm_16000"),
        ("commit_strategy", "vad"),
        ("include_timestamps", "true"),
    ]
    if request.language is not None:
        return [*fields, ("language_code", written(request.language, card, target))]
    codes = expected(request.allowed_languages, card, target)
    fields += [("secondary_languages", code) for code in codes]
    return [*fields, ("include_language_detection", "true")]


async def _say(socket: Socket, chunk: bytes, *, is_last: bool = False) -> None:
    """Send a chunk; behind the last one, what is not final yet becomes so."""
    await socket.send_json(
        {
            "message_type": "input_audio_chunk",
            "audio_base_64": b64encode(chunk).decode(),
            "commit": is_last,
            "sample_rate": 16000,
        }
    )


class Session:
    """
    One conversation with the server.

    It does not close when all is said, and nothing tells whether a final that comes after the end
    of the audio is of the pause before the end, or of the end itself. So the session is over when
    no further one follows it, or when the server says that nothing was left.

    Args:
        socket: open.
        request: what was asked.
        grace: time in which more may follow, seconds.

    """

    def __init__(self, socket: Socket, request: LiveRequest, *, grace: float) -> None:
        self._socket = socket
        self._grace = grace
        self._language = request.language
        self._is_open = False
        """Whether words were heard that are not final yet."""
        self._has_ended = False
        self._has_last = False
        self._said_until = 0.0
        self._sent = 0
        """Bytes of the caller's audio."""
        self.is_over = False

    async def begin(self, *, within: float) -> None:
        """
        Wait until the session has begun.

        Raises:
            ProviderError: it does not begin; the subclass says why.

        """
        try:
            async with asyncio.timeout(within):
                message = await self._socket.receive()
        except TimeoutError as exc:
            raise ProviderTimeoutError(
                f"{NAME} did not begin the session in time.",
                provider=NAME,
                model=self._socket.target.model,
            ) from exc
        if message is None:
            raise self._error("error")
        event = read(message, _Message, self._socket.target)
        if event.message_type != "session_started":
            raise self._error(event.fault or "error")

    async def say(self, chunk: bytes) -> None:
        """Send a chunk of the audio."""
        self._sent += len(chunk)
        await _say(self._socket, chunk)

    async def finish(self) -> None:
        """Say that no more will come."""
        self._has_ended = True
        await _say(self._socket, _PAUSE, is_last=True)

    async def next_of(self, messages: AsyncIterator[bytes]) -> bytes | None:
        """
        Return the next message; None when there is none to be waited for.

        Raises:
            ProviderError: the conversation is broken.

        """
        grace = asyncio.timeout(self._grace if self._has_last else None)
        try:
            async with grace:
                return await anext(messages, None)
        except ProviderTimeoutError:
            if not self._has_ended:
                raise
        except TimeoutError:
            if not grace.expired():
                raise
        self.is_over = True
        return None

    def heard(self, message: bytes) -> Iterator[LiveEvent]:
        """
        Yield the events of a message.

        Raises:
            ProviderError: it says that the session has failed, or makes no sense.

        """
        event = read(message, _Message, self._socket.target)
        if fault := event.fault:
            self.is_over = self._has_ended and fault in _NOTHING_LEFT
            if not self.is_over:
                raise self._error(fault)
            return
        self._language = wire.tag_of(event.language_code) or self._language
        if event.message_type == "partial_transcript" and event.text.strip():
            self._is_open = True
            yield LivePartial(text=event.text.strip(), language=self._language)
        elif event.message_type == _WORDS:
            self._is_open = False
            self._has_last = self._has_ended
            if event.text.strip():
                yield self._final(event)

    def check_end(self) -> None:
        """
        Let pass a session that came to its end, with nothing heard that is not final.

        Raises:
            ProviderUnavailableError: the last words are missing.

        """
        if self._is_open or not (self.is_over or self._has_last):
            raise self._error("error")

    def _final(self, event: _Message) -> LiveFinal:
        end = self._sent / BYTES_PER_SECOND  # a word may seem to reach into the pause behind it
        spoken = tuple(
            evolve(word, start=min(word.start, end), end=min(word.end, end))
            for word in wire.words(event.words or ())
        )
        start = max(self._said_until, spoken[0].start if spoken else 0.0)
        self._said_until = max(start, spoken[-1].end if spoken else 0.0)
        return LiveFinal(
            text=event.text.strip(),
            start=start,
            end=self._said_until,
            words=spoken,
            language=self._language,
            confidence=wire.mean_confidence(spoken),
        )

    def _error(self, name: str) -> ProviderError:
        kind, sentence = _ERRORS[name]
        model = self._socket.target.model
        return kind(f"{NAME} {sentence}.", provider=NAME, model=model)
