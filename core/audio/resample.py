"""Sample rates changed with soxr (HQ), mono float32: a whole array at once, or as a stream."""

from typing import TYPE_CHECKING

from junctor.core.audio.clip import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def resample(
    samples: "NDArray[np.float32]", rate: int, target: int = SAMPLE_RATE
) -> "NDArray[np.float32]":
    """
    Change the rate of mono float32 samples from `rate` to `target` Hz; blocking, 0.1 ms per second.

    The very array is returned when there is nothing to do.
    """
    if rate == target:
        return samples
    import numpy as np
    import soxr

    return np.asarray(soxr.resample(samples, rate, target, quality="HQ"), np.float32)


class Resampler:
    """
    The same for a stream: feed blocks of any length, then `flush` once.

    What comes out lags some milliseconds behind; joined, it is as long as `resample` makes it.
    """

    def __init__(self, rate: int, target: int = SAMPLE_RATE) -> None:
        import soxr

        self._stream = None if rate == target else soxr.ResampleStream(rate, target, 1, "float32")

    def feed(self, block: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Return what is ready after a further mono float32 `block`."""
        import numpy as np

        if self._stream is None:
            return block
        return np.asarray(self._stream.resample_chunk(block), np.float32)

    def flush(self) -> "NDArray[np.float32]":
        """Return the rest; nothing may be fed afterwards."""
        import numpy as np

        rest = np.zeros(0, np.float32)
        if self._stream is None:
            return rest
        return np.asarray(self._stream.resample_chunk(rest, last=True), np.float32)
