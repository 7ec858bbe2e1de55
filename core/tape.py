"""The audio of a live session since its last final: recorded once, read by one candidate at a time."""

import asyncio
from collections.abc import AsyncIterator

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES


class Tape:
    """
    What was said and is not final yet, so that another candidate can hear it again.

    It is also the one queue between a client and its candidate, and therefore bounded: when it is
    full, nothing more is taken from the client until a final makes room. Positions are counted in
    samples at 16 kHz from the start of the client's audio.

    Args:
        seconds: how much it holds; a chunk that begins within goes in whole.

    """

    def __init__(self, seconds: float) -> None:
        self.capacity = round(seconds * SAMPLE_RATE)
        """Samples."""
        self.origin = 0
        """Position of the first sample that is still there: all before it is final."""
        self.is_over = False
        """Whether the client will say no more."""
        self._data = bytearray()
        self._changed = asyncio.Event()

    @property
    def end(self) -> int:
        """Position behind the last sample."""
        return self.origin + len(self._data) // SAMPLE_BYTES

    async def record(self, audio: AsyncIterator[bytes]) -> None:
        """
        Take audio as long as there is room, and wait when there is none.

        Args:
            audio: chunks of signed 16-bit mono PCM at 16 kHz. An error that it raises ends the
                recording and comes out of here.

        """
        try:
            async for chunk in audio:
                while self.end - self.origin >= self.capacity:
                    await self.change()
                self._data += chunk
                self._tell()
        finally:
            self.is_over = True
            self._tell()

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
            self._tell()

    async def change(self) -> None:
        """Wait until something is recorded or dropped, or the recording is over."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
