"""Where somebody speaks in a stream, frame by frame, judged once and read by whoever needs it."""

from array import array
from typing import TYPE_CHECKING, Final, Self

from junctor.core.audio.pcm import SAMPLE_BYTES, is_loud, samples_of
from junctor.core.audio.vad import FRAME_SAMPLES, StreamingVad
from junctor.core.errors import NotConfiguredError

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEECH: Final = 0.5
"""Probability from which speech begins."""
_FRAME_BYTES: Final = FRAME_SAMPLES * SAMPLE_BYTES
_TOGETHER: Final = 4 * _FRAME_BYTES  # 128 ms: a pause is a matter of half a second
_STILL: Final = 0.001  # of full scale, -60 dB: a microphone that is off, or cleaned of noise


class VoiceTrack:
    """
    The probability of speech in each 32 ms of a stream.

    Positions are counted in samples at 16 kHz from the start of the stream. Judging a frame by
    Silero VAD costs twenty times as much as all else that is done for it, so that it is done no
    oftener than it matters: frame by frame while somebody may begin to speak, four frames together
    while somebody does, and not at all where there is next to no sound.

    Args:
        detector: what judges; None judges by loudness, which takes music and noise for speech.

    """

    def __init__(self, detector: StreamingVad | None = None) -> None:
        self.onset: int | None = None
        """Where speech was first heard."""
        self._detector = detector
        self._rest = b""
        self._first = 0
        self._probabilities = array("f")

    @classmethod
    def best(cls) -> Self:
        """Return one with Silero VAD, or by loudness where that is not installed; blocking once."""
        try:
            return cls(StreamingVad())
        except NotConfiguredError:
            return cls()

    @property
    def end(self) -> int:
        """Position up to which the stream is judged."""
        return (self._first + len(self._probabilities)) * FRAME_SAMPLES

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in the frame judged last."""
        return bool(self._probabilities) and self._probabilities[-1] >= SPEECH

    def hear(self, pcm: bytes) -> None:
        """Judge the next piece of the stream, signed 16-bit mono PCM at 16 kHz."""
        sound = self._rest + pcm if self._rest else pcm
        least = _TOGETHER if self._detector is not None and self.is_speech else _FRAME_BYTES
        size = len(sound) - len(sound) % _FRAME_BYTES if len(sound) >= least else 0
        self._rest = sound[size:]
        if size:
            self._judge(sound[:size])

    def finish(self) -> None:
        """Judge what is left at the end of the stream, filled up with silence."""
        sound, self._rest = self._rest, b""
        if sound:
            self._judge(sound + bytes(-len(sound) % _FRAME_BYTES))

    def read(self, start: int) -> "Sequence[float]":
        """Return the probabilities of all frames from the one in which a position lies."""
        return self._probabilities[max(0, start // FRAME_SAMPLES - self._first) :]

    def forget(self, until: int) -> None:
        """Drop the frames that end before a position."""
        count = min(until // FRAME_SAMPLES - self._first, len(self._probabilities))
        if count > 0:
            del self._probabilities[:count]
            self._first += count

    def _judge(self, frames: bytes) -> None:
        if self._detector is None:
            found = [
                float(is_loud(frames[at : at + _FRAME_BYTES]))
                for at in range(0, len(frames), _FRAME_BYTES)
            ]
        else:
            found = self._probable(self._detector, frames)
        if self.onset is None:
            here = next((at for at, one in enumerate(found) if one >= SPEECH), None)
            if here is not None:
                self.onset = self.end + here * FRAME_SAMPLES
        self._probabilities.extend(found)

    def _probable(self, detector: StreamingVad, frames: bytes) -> list[float]:
        samples = samples_of(frames)
        if not self.is_speech and float(abs(samples).max()) < _STILL:
            detector.skip(samples)
            return [0.0] * (len(samples) // FRAME_SAMPLES)
        found: list[float] = detector.hear(samples).tolist()
        return found
