"""One candidate of a live session: what it is given to hear, and whether it still answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Self

from attrs import define, field

from junctor.conf.settings import Live
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES, is_loud, samples_of
from junctor.core.audio.vad import speech_spans
from junctor.core.cards import ModelCard
from junctor.core.errors import NotConfiguredError, ProviderError, ProviderTimeoutError
from junctor.core.tape import Tape
from junctor.core.transcripts import LiveEvent

CHUNK: Final = SAMPLE_RATE // 10
"""Samples handed on at once, at most: 100 ms."""
_CUT_FROM: Final = 0.75  # of a full tape: there it begins to look for a pause
_KEPT: Final = SAMPLE_RATE  # of silence: a second
_SLACK: Final = 0.25  # seconds by which a candidate may be given audio early
_LOOKS: Final = 4  # at a candidate in the time after which it has failed

IsSpeech = Callable[[bytes], Awaitable[bool]]
"""Says whether anybody speaks in signed 16-bit mono PCM at 16 kHz."""


async def has_speech(pcm: bytes) -> bool:
    """Ask Silero VAD, in a thread; where it is not installed, what is loud is speech."""
    try:
        return bool(await asyncio.to_thread(lambda: speech_spans(samples_of(pcm))))
    except NotConfiguredError:
        return is_loud(pcm)


@define(eq=False, kw_only=True)
class Ear(AsyncIterator[bytes]):
    """
    The audio that one candidate is given: from the tape's origin on, then as it comes.

    It is never given more than `live.max_speed` seconds of audio in a second. When the tape is
    nearly full, nothing of it was final and somebody speaks, the audio ends at the next pause, at
    the latest when it is full: the candidate then has to say its last words, and is opened anew.
    """

    tape: Tape
    card: ModelCard
    bounds: Live
    is_speech: IsSpeech = has_speech
    has_partial: bool = False
    """Whether words were heard that are not final yet."""
    is_native: bool = True
    """Whether the candidate listens live by itself, to the chunks that it is given here."""
    suspicion: int = 0
    """How often the audio may have broken who heard it, since the last final."""
    flushed: int = 0
    """Flushes of the tape that were answered."""
    is_done: bool = field(default=False, init=False)
    """Whether it was given all that it gets."""
    start: int = field(init=False)
    """Where on the tape it began."""
    position: int = field(init=False)
    """Up to where on the tape it was given audio."""
    _is_closed: bool = field(default=False, init=False)
    _loud_until: int = field(default=0, init=False)
    _is_quiet: bool = field(default=False, init=False)
    _free_at: float = field(default=0.0, init=False)
    _moved_at: float = field(init=False)
    _due_at: float | None = field(default=None, init=False)
    _due_for: int = field(default=0, init=False)
    _limit: asyncio.Timeout | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.start = self.position = self.tape.origin
        self.tape.due, self.tape.is_speech_due = 0, False  # each chunk, until it says otherwise
        self._moved_at = _now()

    @property
    def seconds(self) -> float:
        """How much audio it was given, seconds."""
        return (self.position - self.start) / SAMPLE_RATE

    def take(self, until: int) -> None:
        """Note that it was given everything up to a position: it reads the tape by itself."""
        self.position = max(self.position, until)

    def close(self) -> None:
        """Give it nothing more, whoever asks."""
        self._is_closed = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not await self._is_there():
            self._finish()
            raise StopAsyncIteration
        chunk = self.tape.read(self.position, self.position + CHUNK)
        samples = len(chunk) // SAMPLE_BYTES
        await self._pace(samples / SAMPLE_RATE)
        self._moved_at = _now()
        self._is_quiet = not is_loud(chunk)
        if not self._is_quiet:
            self._loud_until = self.position + samples
            self._expect()
        self.position += samples
        return chunk

    async def _is_there(self) -> bool:
        """Wait for audio; False when there will be none."""
        while not (self._is_closed or self.is_done or self._is_to_be_cut()):
            if self.position < self.tape.end:
                return True
            if self.tape.is_over:
                break
            await self.tape.change()
        return False

    def _is_to_be_cut(self) -> bool:
        open_ = self.position - self.tape.origin
        if open_ < _CUT_FROM * self.tape.capacity:
            return False
        if self._loud_until <= self.tape.origin and not self.has_partial:
            self.tape.forget(self.position - _KEPT)
            return False
        return self._is_quiet or open_ >= self.tape.capacity

    async def _pace(self, seconds: float) -> None:
        self._free_at = max(self._free_at, _now()) + seconds / self.bounds.max_speed
        early = self._free_at - _now()
        if early > _SLACK:
            await asyncio.sleep(early)

    def _finish(self) -> None:
        self.is_done = True
        self._expect()

    def _expect(self) -> None:
        if self._due_at is None:
            self._due_at = _now() + self.bounds.stall
            self._due_for = self.position

    async def answer(self, source: AsyncIterator[LiveEvent]) -> LiveEvent | None:
        """
        Return the candidate's next event, None after the last one.

        Raises:
            ProviderTimeoutError: `watch` has found that it does not answer.

        """
        if self._due_at is not None:  # how long the client takes to read is not its fault
            self._due_at = _now() + self.bounds.stall
        try:
            async with asyncio.timeout(None) as self._limit:
                return await anext(source, None)
        except ProviderError:
            raise
        except TimeoutError as exc:
            raise ProviderTimeoutError(
                "It stopped answering.", provider=self.card.provider, model=self.card.id
            ) from exc
        finally:
            self._limit = None
            self._due_at = None
            if self.is_done:
                self._expect()

    async def watch(self) -> None:
        """
        Look after the candidate until cancelled: end an `answer` that will not come.

        It has failed when for `live.stall` seconds it took no audio that was there, or answered
        nothing to audio in which somebody speaks or to its end.
        """
        while True:
            await asyncio.sleep(self.bounds.stall / _LOOKS)
            limit = self._limit
            if limit is not None and await self._is_stalled() and self._limit is limit:
                limit.reschedule(_now())
            del limit  # it holds the task that holds, once cancelled, this frame

    async def _is_stalled(self) -> bool:
        now = _now()
        is_unread = not self.is_done and (self.position < self.tape.end or self.tape.is_over)
        if is_unread and now - self._moved_at > self.bounds.stall:
            return True
        if self._due_at is None or now < self._due_at:
            return False
        if self.is_done:
            return True
        if await self.is_speech(self.tape.read(self._due_for, self.position)):
            return True
        self._due_at = None  # music, or a noisy room
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
