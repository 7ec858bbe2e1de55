"""Speech written again, as WAV or FLAC, for a vendor that does not take what was uploaded."""

import asyncio
import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.sniff import FLAC, WAV
from junctor.core.audio.wav import encode_wav, to_pcm16
from junctor.core.errors import UnsupportedOptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FRAME_SAMPLES: Final = 1 << 16


def encode_flac(samples: "NDArray[np.float32]", rate: int) -> bytes:
    """
    Write mono samples as a 16-bit FLAC file; blocking, about a millisecond per second of speech.

    Args:
        samples: float32 of shape (n,), -1 to 1; louder is clipped, NaN becomes silence.
        rate: Hz.

    """
    import av

    pcm = to_pcm16(samples).reshape(1, -1)
    target = io.BytesIO()
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono", format="s16")
        for first in range(0, pcm.shape[1], _FRAME_SAMPLES):
            block = pcm[:, first : first + _FRAME_SAMPLES]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


_ENCODERS: Final[Mapping[str, tuple[str, "Callable[[NDArray[np.float32], int], bytes]"]]] = (
    MappingProxyType(
        {
            WAV.media_type: (WAV.extension, encode_wav),
            FLAC.media_type: (FLAC.extension, encode_flac),
        }
    )
)
"""File extension and encoder of each media type that junctor writes."""

ENCODABLE: Final = frozenset(_ENCODERS)
"""The media types that `reencode` makes."""


async def reencode(clip: Clip, media_type: str) -> Clip:
    """
    Return the speech of `clip` as another media type, mono 16 kHz, or the clip if it is that.

    The new clip holds exactly the samples of the old one, neither padded nor cut, in 16 bit; its
    `frames` are counted at 16 kHz. Meter by the clip that the caller sent.

    Raises:
        UnsupportedOptionError: `media_type` is not one of `ENCODABLE`.
        MediaError: the clip cannot be decoded.

    """
    if clip.media_type == media_type:
        return clip
    if media_type not in _ENCODERS:
        known = ", ".join(sorted(ENCODABLE))
        raise UnsupportedOptionError(
            f"Audio cannot be re-encoded as {media_type!r}. Choose one of {known}."
        )
    extension, encoder = _ENCODERS[media_type]
    samples = await clip.samples()
    data = await asyncio.to_thread(encoder, samples, SAMPLE_RATE)
    return Clip(
        data=data,
        media_type=media_type,
        filename=f"{clip.filename.rpartition('.')[0] or 'audio'}.{extension}",
        frames=len(samples),
        rate=SAMPLE_RATE,
        decode=clip.samples,
        samples=samples,
    )
