"""Speech written again in other formats, sample for sample."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from junctor.core.audio import ENCODABLE, encode_flac, open_clip, reencode
from junctor.core.audio.decode import decode
from junctor.core.errors import UnsupportedOptionError
from tests.media import make_media


@settings(max_examples=30, deadline=None)
@given(pcm=npst.arrays(np.int16, st.integers(1, 6_000)))
def test_flac_is_lossless(pcm: NDArray[np.int16]) -> None:
    """Sixteen-bit samples come back from FLAC as they were, none added, none lost."""
    decoded = decode(encode_flac(np.divide(pcm, 32768, dtype=np.float32), 16_000), max_seconds=60)

    assert len(pcm) == decoded.frames
    assert np.array_equal(pcm, np.rint(decoded.samples * 32768))


@pytest.mark.parametrize("media_type", sorted(ENCODABLE))
async def test_reencoded_clip_has_the_same_samples(media_type: str) -> None:
    """Whatever was sent, the other format holds exactly its decoded samples."""
    slots = asyncio.Semaphore(1)
    clip = await open_clip(make_media("mp3", 3.0), filename="a.mp3", max_seconds=60, slots=slots)
    other = await reencode(clip, media_type)
    again = decode(other.data, max_seconds=60)

    assert (f"a.{media_type[6:]}", media_type) == (other.filename, other.media_type)
    assert (
        (other.frames, other.rate)
        == (again.frames, again.rate)
        == (len(await clip.samples()), 16_000)
    )
    assert np.abs(again.samples - await clip.samples()).max() <= 0.5 / 32768 + 1e-7
    assert await other.samples() is await clip.samples()


async def test_same_type_is_the_same_clip() -> None:
    """Nothing is encoded that is right already."""
    clip = await open_clip(make_media("flac", 0.2), max_seconds=60, slots=asyncio.Semaphore(1))

    assert await reencode(clip, "audio/flac") is clip


async def test_unknown_type_is_named() -> None:
    """What cannot be written is refused with what can."""
    clip = await open_clip(make_media("wav", 0.2), max_seconds=60, slots=asyncio.Semaphore(1))

    with pytest.raises(UnsupportedOptionError, match=r"audio/mpeg.*audio/flac, audio/wav"):
        await reencode(clip, "audio/mpeg")
