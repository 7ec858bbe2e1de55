"""
Endpointing: where a stretch of speech begins and ends, from the probability of speech per frame.

Pure; `junctor.core.audio.voice` gives the probabilities.
"""

from typing import Final

from attrs import define, field, frozen

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.vad import FRAME_SAMPLES
from junctor.core.audio.voice import SPEECH

PRE_ROLL: Final = round(0.3 * SAMPLE_RATE)
"""Samples before speech that belong to it."""
PAUSE: Final = round(0.5 * SAMPLE_RATE)
"""Samples of silence that end a stretch."""
_LOW: Final = 0.35  # a stretch goes on while the probability is not below this
_POST_ROLL: Final = round(0.3 * SAMPLE_RATE)
_SHORTEST: Final = 3  # frames of speech; less is a click, unless it was cut off from more


@frozen
class Span:
    """A stretch of speech, in samples at 16 kHz from the start of the stream."""

    start: int
    end: int


@define(eq=False, kw_only=True)
class Endpointer:
    """
    Cuts a stream into stretches: 300 ms before speech, until 500 ms of silence, not over a bound.

    A longer one is cut where speech is least probable in its last third, and goes on there.
    """

    longest: int
    """Samples of a stretch, at most."""
    position: int = 0
    """Up to where it has heard."""
    free_from: int = 0
    """Where a stretch may begin at the earliest: what lies before belongs to another."""
    onset: int = field(default=0, init=False)
    """Where speech began in the stretch under way."""
    start: int | None = field(default=None, init=False)
    """Where the stretch under way began; None between two."""
    speech_end: int = field(default=0, init=False)
    """Behind the last frame of speech."""
    _frames: list[float] = field(factory=list, init=False)
    _is_rest: bool = field(default=False, init=False)

    def hear(self, probability: float) -> Span | None:
        """Take the next frame into account; return the stretch that it ends."""
        self.position += FRAME_SAMPLES
        if self.start is None:
            if probability < SPEECH:
                return None
            self.onset = max(self.free_from, self.position - FRAME_SAMPLES)
            self.start = max(self.free_from, self.onset - PRE_ROLL)
        if probability >= _LOW:
            self.speech_end = self.position
        self._frames.append(probability)
        if self.position - self.speech_end >= PAUSE:
            return self._cut(self.start, self.speech_end + _POST_ROLL)
        if self.position + FRAME_SAMPLES - self.start > self.longest:
            return self._divide(self.start)
        return None

    def finish(self, end: int) -> Span | None:
        """Return the stretch that the end of the stream, at that position, ends."""
        if self.start is None:
            return None
        return self._cut(self.start, min(end, self.speech_end + _POST_ROLL))

    def _cut(self, start: int, end: int) -> Span | None:
        least = 1 if self._is_rest else _SHORTEST
        is_speech = sum(one >= _LOW for one in self._frames) >= least
        self.start, self._is_rest = None, False
        self.free_from = end = max(start, end)  # a divided one may have been silent since
        self._frames.clear()
        return Span(start, end) if is_speech else None

    def _divide(self, start: int) -> Span | None:
        """End a long stretch at its least probable frame, and go on with the next one there."""
        frames = self._frames
        recent = frames[-max(1, (self.position - start) // FRAME_SAMPLES // 3) :]
        back = min(range(len(recent)), key=lambda at: recent[-1 - at])
        rest = frames[len(frames) - back :]
        span = self._cut(start, self.position - back * FRAME_SAMPLES)
        self.start = self.onset = self.free_from
        self._frames, self._is_rest = rest, True
        return span
