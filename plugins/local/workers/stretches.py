"""Cut a recording into the stretches that a Whisper decodes one window at a time."""

from typing import TYPE_CHECKING, Final

from junctor.core.audio.clip import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Span = tuple[float, float]
_STEP: Final = SAMPLE_RATE // 50
"""20 ms: the resolution in which the quietest place is looked for."""


def join(spans: list[Span], *, longest: float) -> list[Span]:
    """Join neighbours as long as the whole, silence included, stays within `longest` seconds."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and end - joined[-1][0] <= longest:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def split(samples: "NDArray[np.float32]", spans: list[Span], *, longest: float) -> list[Span]:
    """Cut each span over `longest` seconds at the quietest place in the last third before that."""
    parts: list[Span] = []
    for start, end in spans:
        begin = start
        while end - begin > longest:
            cut = _quietest(samples, begin + longest * 2 / 3, begin + longest)
            parts.append((begin, cut))
            begin = cut
        parts.append((begin, end))
    return parts


def _quietest(samples: "NDArray[np.float32]", start: float, end: float) -> float:
    import numpy as np

    first = round(start * SAMPLE_RATE)
    part = samples[first : round(end * SAMPLE_RATE)]
    count = len(part) // _STEP
    energy = np.square(part[: count * _STEP].reshape(count, _STEP)).sum(axis=1)
    return (first + (int(energy.argmin()) + 0.5) * _STEP) / SAMPLE_RATE
