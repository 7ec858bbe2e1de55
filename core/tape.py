"""The audio of a live session since its last final: recorded once, read by one candidate at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES
from junctor.core.audio.voice import VoiceTrack

_BITE = SAMPLE_RATE // 4 * SAMPLE_BYTES


class Tape:
    """
    What was said and is not final yet, so that another candidate can hear it again.

    It is also the one queue between a client and its candidate, and therefore bounded: when it is
    full, nothing more is taken from the client until a final makes room. Positions are counted in
    samples at 16 kHz from the start of the client's audio.

    Args:
        seconds: how much it holds, and up to a quarter of a second more.
        voice: judges where somebody speaks in what is recorded; None where nobody asks.

    """

    def __init__(self, seconds: float, voice: VoiceTrack | None = None) -> None:
        self.capacity = round(seconds * SAMPLE_RATE)
        """Samples."""
        self.origin = 0
        """Position of the first sample that is still there: all before it is final."""
        self.is_over = False
        """Whether the client will say no more."""
        self.voice = voice
        self.flushed = 0
        """How often a text of all that is there was asked for, final or not."""
        self.due = 0
        """Position from which on audio is worth waking whoever waits; set by who listens."""
        self.is_speech_due = False
        """Whether speech is, wherever it comes."""
        self._data = bytearray()
        self._changed = asyncio.Event()

    @property
    def end(self) -> int:
        """Position behind the last sample."""
        return self.origin + len(self._data) // SAMPLE_BYTES

    @property
    def is_full(self) -> bool:
        """Whether there is no room until something is final."""
        return self.end - self.origin >= self.capacity

    async def take(self, chunk: bytes) -> None:
        """
        Take more audio as soon as there is room; a long piece bit by bit, for judging it takes time.

        Args:
            chunk: signed 16-bit mono PCM at 16 kHz.

        """
        for first in range(0, len(chunk), _BITE):
            while self.is_full:
                await self.change()
            self._add(chunk[first : first + _BITE])
            if len(chunk) > _BITE:
                await asyncio.sleep(0)

    def _add(self, chunk: bytes) -> None:
        self._data += chunk
        if self.voice is not None:
            self.voice.hear(chunk)
        is_speech = self.is_speech_due and self.voice is not None and self.voice.is_speech
        if is_speech or self.end >= self.due:
            self.tell()

    def finish(self) -> None:
        """Say that nothing more will come."""
        if self.is_over:
            return
        self.is_over = True
        if self.voice is not None:
            self.voice.finish()
        self.tell()

    def flush(self) -> None:
        """Ask for a text of all that is there."""
        self.flushed += 1
        self.tell()

    async def record(self, audio: AsyncIterator[bytes]) -> None:
        """
        Take audio as long as there is room, and wait when there is none.

        Args:
            audio: chunks as of `take`. An error that it raises ends the recording and comes out of
                here.

        """
        try:
            async for chunk in audio:
                await self.take(chunk)
        finally:
            self.finish()

    @asynccontextmanager
    async def recording(self, audio: AsyncIterator[bytes]) -> AsyncGenerator[None, None]:
        """Record during the block; an error that ended the audio is raised behind it."""
        recording = asyncio.create_task(self.record(audio))
        try:
            yield
            if self.is_over:
                await recording
        finally:
            recording.cancel()
            await asyncio.wait([recording])
            # It may hold the error that is on its way out, whose traceback holds this frame.
            del recording

    def read(self, start: int, end: int) -> bytes:
        """Return what lies between two positions, as far as it is there."""
        first = max(0, start - self.origin) * SAMPLE_BYTES
        return bytes(self._data[first : max(0, end - self.origin) * SAMPLE_BYTES])

    def forget(self, until: int) -> None:
        """Drop what lies before a position; a position of the past drops nothing."""
        count = min(until, self.end) - self.origin
        if count > 0:
            del self._data[: count * SAMPLE_BYTES]
            self.origin += count
            if self.voice is not None:
                self.voice.forget(self.origin)
            self.tell()

    async def change(self) -> None:
        """Wait for audio that is due, room, the end of the recording, or `tell`."""
        await self._changed.wait()

    def tell(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()
