"""A recording as it was sent, measured once and decoded at most once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Rate of all decoded speech, Hz."""


@define(eq=False, kw_only=True)
class Clip:
    """
    One uploaded recording: its bytes as sent, its measured length, its samples on demand.

    Made by `junctor.core.audio.open_clip`, never by hand outside tests. The length is counted
    from the media itself, in sample frames, so that metering is exact to the sample.
    """

    data: bytes
    """The container as uploaded."""
    media_type: str
    """What the bytes are (`audio/wav`, `audio/mpeg` …), sniffed, never as claimed."""
    filename: str = "audio"
    """A file name whose extension fits `media_type`; vendors look at it."""
    frames: int
    """Length in sample frames at `rate`."""
    rate: int
    """Sample rate of the container, Hz."""
    _decode: "Callable[[], Awaitable[NDArray[np.float32]]]" = field(repr=False)
    _samples: "NDArray[np.float32] | None" = field(default=None, repr=False)
    _decoding: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)

    @property
    def seconds(self) -> float:
        """Length, seconds."""
        return self.frames / self.rate

    async def samples(self) -> "NDArray[np.float32]":
        """
        Return the speech as float32 of shape (n,), mono, 16 kHz, -1 to 1; decoded once.

        Raises:
            MediaError: the media cannot be decoded.

        """
        async with self._decoding:
            if self._samples is None:
                self._samples = await self._decode()
        return self._samples
