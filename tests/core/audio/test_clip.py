"""A clip's samples: decoded once, whoever asks."""

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from junctor.core.audio.clip import Clip
from junctor.core.errors import MediaError


class FakeDecoder:
    """Decodes to silence once `ready` is set; fails first as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.failures = failures
        self.ready = asyncio.Event()

    async def __call__(self) -> NDArray[np.float32]:
        self.calls += 1
        await self.ready.wait()
        if self.calls <= self.failures:
            raise MediaError("It is broken.")
        return np.zeros(160, np.float32)


def make_clip(decoder: FakeDecoder) -> Clip:
    return Clip(data=b"x", media_type="audio/wav", frames=441, rate=44_100, decode=decoder)


def test_seconds_come_from_frames() -> None:
    """The length is exact to the frame of the container's own rate."""
    assert 0.01 == make_clip(FakeDecoder()).seconds


async def test_decoded_once_for_all_who_ask() -> None:
    """Two candidates that ask at the same time get one decode and the same array."""
    decoder = FakeDecoder()
    clip = make_clip(decoder)
    both = asyncio.gather(clip.samples(), clip.samples())
    decoder.ready.set()
    first, second = await both

    assert first is second
    assert 1 == decoder.calls


async def test_cancel_of_one_leaves_the_other() -> None:
    """Who is cancelled takes nobody's samples away."""
    decoder = FakeDecoder()
    clip = make_clip(decoder)
    first, second = asyncio.create_task(clip.samples()), asyncio.create_task(clip.samples())
    await asyncio.sleep(0)
    first.cancel()
    decoder.ready.set()

    assert 160 == len(await second)
    assert first.cancelled()


async def test_failure_is_not_kept() -> None:
    """A decode that failed is tried again when asked again."""
    decoder = FakeDecoder(failures=1)
    decoder.ready.set()
    clip = make_clip(decoder)
    with pytest.raises(MediaError):
        await clip.samples()

    assert 160 == len(await clip.samples())
