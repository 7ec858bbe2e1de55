"""Whisper's log-mel features of many windows at once, as faster-whisper makes those of one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOP: Final = 160
"""Samples from one frame to the next: 10 ms."""
SIZE: Final = 400
"""Samples in a frame."""
_REACH: Final = SIZE // 2
"""Samples that a frame reaches to either side of its middle."""
_CHUNK: Final = 128
"""Frames transformed at once; more of them leave the cache."""
_RANGE: Final = 8.0
"""Decades below the loudest of a window that are told apart."""


def frames_of(samples: int) -> int:
    """Return how many frames so many samples have."""
    return max(samples, SIZE) // HOP + 1


class Mel:
    """
    The filters of one model.

    Args:
        filters: a row for each mel band, a column for each of the 201 frequencies; float32.

    """

    def __init__(self, filters: "NDArray[np.float32]") -> None:
        import numpy as np

        self._filters = np.ascontiguousarray(filters.T, np.float32)
        self._hann = np.hanning(SIZE + 1)[:-1].astype(np.float32)

    def batch(
        self, windows: Sequence["NDArray[np.float32]"], *, frames: int
    ) -> "NDArray[np.float32]":
        """
        Return the features of windows (samples, -1 to 1): window, mel band, frame.

        All have so many frames; zeros follow those that a window has itself.
        """
        import numpy as np

        counts = [frames_of(len(window)) for window in windows]
        places = [count + _REACH * 2 // HOP + 1 for count in counts]
        firsts = np.cumsum([0, *places])
        tape = np.zeros(int(firsts[-1]) * HOP + SIZE, np.float32)
        for window, first in zip(windows, firsts, strict=False):
            _lay(tape[first * HOP :], window)
        logs = self._logs(tape, int(firsts[-1]))
        out = np.zeros((len(windows), logs.shape[1], frames), np.float32)
        for row, count, first in zip(out, counts, firsts, strict=False):
            own = logs[first : first + min(count, frames)]
            np.maximum(own, logs[first : first + count].max() - _RANGE, out=own)
            row[:, : len(own)] = (own.T + 4.0) / 4.0
        return out

    def _logs(self, tape: "NDArray[np.float32]", count: int) -> "NDArray[np.float32]":
        import numpy as np

        every = np.lib.stride_tricks.sliding_window_view(tape, SIZE)[::HOP]
        out = np.empty((count, self._filters.shape[1]), np.float32)
        for first in range(0, count, _CHUNK):
            part = every[first : min(first + _CHUNK, count)]
            wave = np.fft.rfft(part * self._hann)
            power = np.square(wave.real) + np.square(wave.imag)
            np.matmul(
                power.astype(np.float32, copy=False),
                self._filters,
                out=out[first : first + len(part)],
            )
        np.log(np.maximum(out, 1e-10, out=out), out=out)
        out *= np.float32(1 / np.log(10))
        return out


def _lay(tape: "NDArray[np.float32]", window: "NDArray[np.float32]") -> None:
    """Write a window on the tape, a hop of silence after it, mirrored at both ends."""
    size = max(len(window), SIZE) + HOP
    middle = tape[_REACH : _REACH + size]
    middle[: len(window)] = window
    tape[:_REACH] = middle[_REACH:0:-1]
    tape[_REACH + size : 2 * _REACH + size] = middle[-2 : -2 - _REACH : -1]
