"""
When the key was down: from sound to marks and gaps.

The loudest pitch is found, mixed down to zero, and smoothed; where the result is above half of its
height, the key was down. Whoever asks may stop the work between two blocks of ten seconds.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
"""Hz, of all samples that junctor hands out."""

_BLOCK = 10 * RATE
_FRAME = 1024
_SMOOTH, _HOP = 128, 64
"""8 ms and 4 ms, in samples: the shortest mark that is seen is a dot at about 70 words a minute."""
_BRIEF = 2
"""A run of fewer hops is a click, or a dropout."""
_PURE = 0.3
"""Least share of a tone in the sound while the key is down; speech and noise have less."""
_CONTRAST = 2.0
"""Least ratio of the tone's amplitude to that of the silence between marks."""


class StoppedError(Exception):
    """The result is not wanted any more."""


@frozen
class Run:
    """A time during which the key was down, or up. Times are seconds from the start."""

    is_down: bool
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start


def find_runs(
    samples: "NDArray[np.float32]",
    *,
    hertz: tuple[float, float],
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Run, ...]:
    """
    Return when the key was down and up, from the first mark to the last; empty without a tone.

    Args:
        samples: mono, 16 kHz, -1 to 1.
        hertz: lowest and highest pitch to look for.
        should_stop: asked between blocks.

    Raises:
        StoppedError: `should_stop` said so.

    """
    import numpy as np

    def blocks() -> "Iterator[NDArray[np.float32]]":
        for first in range(0, len(samples), _BLOCK):
            if should_stop():
                raise StoppedError
            yield samples[first : first + _BLOCK]

    pitch = _pitch(blocks(), hertz)
    if pitch is None:
        return ()
    parts = [_envelope(block, pitch) for block in blocks()]
    tone = np.concatenate([one for one, _ in parts])
    total = np.concatenate([one for _, one in parts])
    is_down = tone > _threshold(tone)
    if tone[is_down].sum() <= _PURE * total[is_down].sum():
        return ()
    return tuple(_runs(is_down))


def _pitch(blocks: "Iterator[NDArray[np.float32]]", hertz: tuple[float, float]) -> float | None:
    """Return the frequency of most power, Hz; None in silence."""
    import numpy as np

    power = np.zeros(_FRAME // 2 + 1)
    window = np.hanning(_FRAME)
    for block in blocks:
        padded = np.pad(block, (0, -len(block) % _FRAME)).reshape(-1, _FRAME)
        power += (np.abs(np.fft.rfft(padded * window)) ** 2).sum(axis=0)
    bins = np.fft.rfftfreq(_FRAME, 1 / RATE)
    power[(bins < hertz[0]) | (bins > hertz[1])] = 0.0
    best = int(power.argmax())
    if power[best] <= 0.0:
        return None
    near = slice(max(0, best - 1), best + 2)
    return float((power[near] * bins[near]).sum() / power[near].sum())


def _envelope(
    block: "NDArray[np.float32]", pitch: float
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the power of the tone, and of everything, each hop."""
    import numpy as np

    padded = np.pad(block.astype(np.float64), (0, _SMOOTH + -len(block) % _HOP))
    carrier = np.exp(-2j * np.pi * pitch / RATE * np.arange(len(padded)))
    count = -(-len(block) // _HOP)
    starts = _HOP * np.arange(count)

    def smooth(values: "NDArray[np.complex128]") -> "NDArray[np.complex128]":
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray((sums[starts + _SMOOTH] - sums[starts]) / _SMOOTH)

    # A real tone has half of its power at the negative frequency, which is gone by now.
    tone = 2 * np.abs(smooth(padded * carrier)) ** 2
    total = np.abs(smooth((padded**2).astype(np.complex128)))
    return tone, total


def _threshold(tone: "NDArray[np.float64]") -> float:
    """Return the power halfway between noise and tone; out of reach for a tone never keyed."""
    import numpy as np

    amplitude = np.sqrt(tone)
    high = float(np.percentile(amplitude[amplitude >= amplitude.max() / 2], 50))
    low = float(np.percentile(amplitude, 10))
    return ((low + high) / 2) ** 2 if high > _CONTRAST * low else float("inf")


def _runs(is_down: "NDArray[np.bool_]") -> Iterator[Run]:
    import numpy as np

    edges = np.flatnonzero(np.diff(is_down.astype(np.int8))) + 1
    bounds = [0, *edges.tolist(), len(is_down)]
    kept: list[tuple[bool, int, int]] = []
    for first, last in pairwise(bounds):
        state = bool(is_down[first])
        if kept and (last - first < _BRIEF or kept[-1][0] == state):
            kept[-1] = (kept[-1][0], kept[-1][1], last)
        elif kept or (state and last - first >= _BRIEF):
            kept.append((state, first, last))
    if kept and not kept[-1][0]:
        kept.pop()
    second = _HOP / RATE
    shift = _SMOOTH / RATE / 2
    for state, first, last in kept:
        yield Run(state, first * second + shift, last * second + shift)
