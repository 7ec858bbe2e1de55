"""Samples of any type, channel count and rate turned into the one kind that engines hear."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from junctor.core.audio.resample import Resampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCALES: Final = MappingProxyType({"u1": (128, 2**7), "i2": (0, 2**15), "i4": (0, 2**31)})
"""Zero level and full scale of integer samples; floats are at scale."""


def mix(channels: "Sequence[NDArray[np.integer | np.floating]]") -> "NDArray[np.float32]":
    """
    Average the channels of a recording to mono float32, -1 to 1.

    The average never clips, unlike FFmpeg's own downmix to float, which makes stereo 3 dB louder.
    Louder than full scale is clipped, NaN becomes silence.

    Args:
        channels: one array of shape (n,) each: uint8, int16, int32 or float.

    """
    import numpy as np

    zero, full_scale = _SCALES.get(channels[0].dtype.str[1:], (0, 1))
    with np.errstate(over="ignore", invalid="ignore"):
        mono = channels[0].astype(np.float32)
        for channel in channels[1:]:
            mono += channel
        if zero:
            mono -= np.float32(zero * len(channels))
        if (scale := full_scale * len(channels)) != 1:
            mono *= np.float32(1 / scale)
        return _sane(mono)


def _sane(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Clip and replace NaN, in place."""
    import numpy as np

    np.clip(samples, -1, 1, out=samples)
    if np.isnan(samples.sum()):
        np.nan_to_num(samples, copy=False)
    return samples


class Mixdown:
    """Gathers mono blocks, whatever their rate, into one array at 16 kHz."""

    def __init__(self) -> None:
        self._samples = bytearray()  # grows in place, where a list of blocks needs twice the memory
        self._resampler: Resampler | None = None
        self._rate = 0

    def add(self, block: "NDArray[np.float32]", rate: int) -> None:
        """Append mono float32 samples that were taken at `rate` Hz."""
        if self._resampler is None or rate != self._rate:
            self._flush()
            self._resampler, self._rate = Resampler(rate), rate
        self._samples += self._resampler.feed(block).data

    def finish(self) -> "NDArray[np.float32]":
        """Return everything that was added; nothing may be added afterwards."""
        import numpy as np

        self._flush()
        return _sane(np.frombuffer(self._samples, np.float32))

    def _flush(self) -> None:
        if self._resampler is not None:
            self._samples += self._resampler.flush().data
