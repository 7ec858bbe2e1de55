"""
Live speech over the realtime WebSocket, which knows turns but, for these models, not their ends.

So the turns are cut here, at pauses: after half a second that is quiet beside the loudest of the
turn, or after 15 seconds. A turn in which nobody can have spoken is taken back, not transcribed.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
from attrs import define, field

from junctor.core.audio import SAMPLE_RATE, Resampler
from junctor.core.audio.pcm import is_loud, samples_of
from junctor.core.audio.wav import to_pcm16
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
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial
from junctor.plugins.remote.live import conversation, rechunked
from junctor.plugins.remote.openai.cards import Served
from junctor.plugins.remote.openai.languages import code_of
from junctor.plugins.remote.openai.streaming import nonsense

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READY_WITHIN = 10.0
"""Time to connect, and again to have the session accepted, seconds."""
RATE = 24_000
"""The only rate that the API takes, Hz."""
CHUNK = 0.1
"""Length of what is sent at once, seconds; also the shortest turn that the API takes."""
PAUSE = 0.5
"""Quiet that ends a turn, seconds."""
LONGEST = 15.0
"""Length at which a turn is ended without a pause, seconds."""
QUIET = 0.1
"""What is quiet, as a part of the loudest chunk of the turn."""
_BAD_NEWS = frozenset({"error", "conversation.item.input_audio_transcription.failed"})


class _Language(msgspec.Struct):
    code: str


class _Fault(msgspec.Struct):
    type: str | None = None
    code: str | None = None


class _Event(msgspec.Struct):
    type: str
    item_id: str = ""
    delta: str = ""
    transcript: str = ""
    languages: list[_Language] | None = None
    error: _Fault | None = None


_events = msgspec.json.Decoder(_Event)


async def begun(socket: Socket, request: LiveRequest, served: Served) -> "Session":
    """
    Tell the server what is wanted, and wait until it agrees.

    Raises:
        ProviderError: it does not; the subclass says why.

    """
    session = Session(socket, request, await asyncio.to_thread(Resampler, SAMPLE_RATE, RATE))
    try:
        async with asyncio.timeout(READY_WITHIN):
            await socket.send_json(_update(request, served))
            while (message := await socket.receive()) is not None:
                if session.read(message).type in {
                    "session.updated",
                    "transcription_session.updated",
                }:
                    return session
    except TimeoutError as exc:
        if isinstance(exc, ProviderError):
            raise
        raise ProviderTimeoutError(
            f"{socket.target.provider} did not begin the session in time.",
            provider=socket.target.provider,
            model=socket.target.model,
        ) from exc
    raise ProviderUnavailableError(
        f"{socket.target.provider} closed the connection before the session began.",
        provider=socket.target.provider,
        model=socket.target.model,
    )


def _update(request: LiveRequest, served: Served) -> dict[str, object]:
    transcription: dict[str, object] = {"model": served.card.id}
    if hints := served.hints(request.language, request.allowed_languages):
        takes_several = served.language_field == "languages[]"
        transcription |= {"languages": hints} if takes_several else {"language": hints[0]}
    given = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": transcription,
        "turn_detection": None,
    }
    return {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": given}},
    }


@define
class Turn:
    """The stretch of speech that is being said, in samples from the stream's start (16 kHz)."""

    start: int
    end: int
    loudest: float = 0.0
    quiet: int = 0
    """For how long it has been quiet, samples."""

    def hear(self, loudness: float, samples: int) -> None:
        """Take in a chunk, of that RMS (0 to 1; 0 where nobody can be speaking) and length."""
        self.end += samples
        self.loudest = max(self.loudest, loudness)
        is_quiet = loudness <= QUIET * self.loudest
        self.quiet = self.quiet + samples if is_quiet else 0

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said in it."""
        return not self.loudest

    @property
    def is_over(self) -> bool:
        """Whether it is time to end it."""
        is_pause = self.quiet >= PAUSE * SAMPLE_RATE and not self.is_silent
        return is_pause or self.end - self.start >= LONGEST * SAMPLE_RATE


@define
class _Item:
    """A turn as the server tells of it."""

    text: str = ""
    is_committed: bool = False
    is_done: bool = False
    language: str | None = None


@define(eq=False)
class Session:
    """An accepted session: sends audio, cuts turns, and puts what comes back in order."""

    _socket: Socket
    _request: LiveRequest
    _resampler: Resampler
    _turn: Turn = field(factory=lambda: Turn(0, 0))
    _ended: list[Turn] = field(factory=list)
    """Turns whose text is awaited, oldest first."""
    _items: dict[str, _Item] = field(factory=dict)
    """The same, as far as the server has named them."""
    _is_over: bool = False

    async def events(self, audio: AsyncIterator[bytes]) -> AsyncGenerator[LiveEvent, None]:
        """
        Send the audio and yield what the server makes of it, in the order of the turns.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        chunks = rechunked(audio, seconds=CHUNK)
        async with aclosing(
            conversation(self._socket, chunks, say=self._say, finish=self._finish)
        ) as messages:
            async for message in messages:
                for event in self._heard(self.read(message)):
                    yield event
                if self._is_over and not self._ended:
                    return

    async def _say(self, chunk: bytes) -> None:
        samples = samples_of(chunk)
        power = float(samples @ samples) / max(1, len(samples))
        self._turn.hear(power**0.5 if is_loud(chunk) else 0.0, len(samples))
        await self._append(self._resampler.feed(samples))
        if self._turn.is_over:
            await self._end_turn()

    async def _append(self, samples: "NDArray[np.float32]") -> None:
        if len(samples):
            await self._tell("append", audio=b64encode(to_pcm16(samples).tobytes()).decode())

    async def _end_turn(self) -> None:
        turn, self._turn = self._turn, Turn(self._turn.end, self._turn.end)
        if turn.is_silent:
            await self._tell("clear")
        else:
            self._ended.append(turn)
            await self._tell("commit")

    async def _finish(self) -> None:
        import numpy as np

        await self._append(self._resampler.flush())
        if self._turn.end - self._turn.start < CHUNK * SAMPLE_RATE and not self._turn.is_silent:
            await self._append(np.zeros(round(CHUNK * RATE), np.float32))
        self._is_over = True
        if not self._turn.is_silent:
            await self._end_turn()
        await self._tell("clear")  # its answer is the last word where nothing else is awaited

    async def _tell(self, what: str, **more: str) -> None:
        await self._socket.send_json({"type": f"input_audio_buffer.{what}", **more})

    def read(self, message: bytes) -> _Event:
        """
        Return a message of the server.

        Raises:
            ProviderError: it is the news of a fault, or makes no sense.

        """
        try:
            event = _events.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise nonsense(self._socket.target) from exc
        if event.type in _BAD_NEWS:
            raise _fault(event.error or _Fault(), self._socket.target)
        return event

    def _heard(self, event: _Event) -> Iterator[LiveEvent]:
        match event.type.removeprefix("conversation.item."):
            case "input_audio_buffer.committed":
                self._items.setdefault(event.item_id, _Item()).is_committed = True
            case "input_audio_buffer.cleared":
                self._items = {id_: one for id_, one in self._items.items() if one.is_committed}
            case "input_audio_transcription.delta":
                self._items.setdefault(event.item_id, _Item()).text += event.delta
                yield self._partial()
            case "input_audio_transcription.completed":
                item = self._items.setdefault(event.item_id, _Item())
                item.text, item.is_committed, item.is_done = event.transcript, True, True
                item.language = code_of(event.languages[0].code) if event.languages else None
                yield from self._finals()
            case _:
                pass

    def _partial(self) -> LivePartial:
        texts = (item.text.strip() for item in self._items.values())
        return LivePartial(
            text=" ".join(text for text in texts if text), language=self._request.language
        )

    def _finals(self) -> Iterator[LiveFinal]:
        """Yield turns that are done, but none before those that were said before it."""
        while self._items and self._ended:
            id_, item = next(iter(self._items.items()))
            if not item.is_done:
                return
            del self._items[id_]
            turn = self._ended.pop(0)
            yield LiveFinal(
                text=item.text.strip(),
                start=turn.start / SAMPLE_RATE,
                end=turn.end / SAMPLE_RATE,
                language=self._request.language or item.language,
            )


_FAULTS: dict[str, tuple[type[ProviderError], str]] = {
    "insufficient_quota": (ProviderQuotaError, "says our credits are used up; top it up"),
    "invalid_api_key": (ProviderAuthError, "refused our credentials; check its api_key"),
    "authentication_error": (ProviderAuthError, "refused our credentials; check its api_key"),
    "rate_limit_exceeded": (ProviderRateLimitedError, "asks us to slow down"),
    "rate_limit_error": (ProviderRateLimitedError, "asks us to slow down"),
    "session_expired": (ProviderUnavailableError, "ended the session, which may not go on longer"),
    "invalid_request_error": (ProviderRejectedError, "refuses this request"),
}


def _fault(fault: _Fault, target: Target) -> ProviderError:
    kind, sentence = (
        _FAULTS.get(fault.code or "")
        or _FAULTS.get(fault.type or "")
        or (ProviderUnavailableError, "gave up in the middle of its stream")
    )
    return kind(f"{target.provider} {sentence}.", provider=target.provider, model=target.model)
