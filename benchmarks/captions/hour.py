"""An hour of speech in one session, one utterance even: memory, and the latency of partials, flat or not."""

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import cycle
from statistics import linear_regression
from time import perf_counter

from attrs import define, field

from benchmarks.captions.dictation import FRAME_SECONDS, milliseconds
from benchmarks.captions.servers import TINY, Target, junctor
from benchmarks.captions.speech import utterances
from benchmarks.captions.wire import Wire, play, text

_END = text('{"type":"end"}')
_WARM = 0.15  # of the session: caches fill, allocators settle
_EDGE = 0.05  # of the session, compared at both of its ends
_SAMPLES = 60


@define(kw_only=True)
class Course:
    """What was seen while the audio went on; all by the second of audio."""

    latencies: list[tuple[float, float]] = field(factory=list)
    """Of partials, seconds, as the server measures them: from the newest audio in a text on."""
    memory: list[tuple[float, float, float]] = field(factory=list)
    """Of the server and of its engine, bytes."""
    final: float = 0.0
    """From `end` until the final was there, seconds."""
    segments: int = 0

    def latency(self, first: float, last: float) -> list[float]:
        """Return the latencies between two seconds of audio."""
        return [one for at, one in self.latencies if first <= at < last]

    def slope(self, place: int, since: float) -> float:
        """Return how memory grows, bytes per second of audio, by least squares."""
        kept = [one for one in self.memory if one[0] >= since]
        return linear_regression([one[0] for one in kept], [one[place] for one in kept]).slope


class Lecture:
    """
    Speaks for so many seconds without an end, faster than a person where it is told so.

    Args:
        wire: of a started session.
        frames: said again and again.
        seconds: of audio.
        speed: seconds of audio in a second.
        target: whose memory is looked at.

    """

    def __init__(
        self, wire: Wire, frames: Sequence[bytes], *, seconds: float, speed: float, target: Target
    ) -> None:
        self.wire, self.due, self.course = wire, perf_counter(), Course()
        self.is_over = False
        self._frames: Iterator[bytes] = cycle(frames)
        self._seconds, self._speed, self._target = seconds, speed, target
        self._audio, self._look_at, self._ended = 0.0, 0.0, 0.0

    def act(self) -> None:
        """Send the next frame, or the end."""
        if self._audio >= self._seconds:
            if not self._ended:
                self.wire.send(_END)
                self._ended = perf_counter()
            self.due += 60.0
            return
        self.wire.send(next(self._frames))
        self._audio += FRAME_SECONDS
        self.due += FRAME_SECONDS / self._speed
        if self._audio >= self._look_at:
            self._look_at += self._seconds / _SAMPLES
            server, *engines = self._target.usage().memory.values()
            self.course.memory.append((self._audio, server, sum(engines)))

    def hear(self, message: bytes, now: float) -> None:
        """Note the latency of a partial, and the final."""
        event = json.loads(message)
        if event["type"] == "partial":
            self.course.latencies.append((self._audio, event["latency_ms"] / 1000))
        elif event["type"] == "final":
            self.course.final = now - self._ended
            self.course.segments = len(event["segments"])
            self.is_over = True
        elif event["type"] == "error":
            raise RuntimeError(event)


def run(asked: Namespace) -> None:
    """Print how memory and latency went."""
    seconds, edge = asked.minutes * 60, asked.minutes * 60 * _EDGE
    frames = [sound for one in utterances(asked.utterances) for sound in one.frames]
    with junctor(TINY.format(batch=16)) as target:
        lecture = Lecture(
            target.session(), frames, seconds=seconds, speed=asked.speed, target=target
        )
        play([lecture], until=perf_counter() + 2 * seconds, is_over=lambda: lecture.is_over)
        lecture.wire.close()
    course = lecture.course
    first, last = course.latency(edge, 2 * edge), course.latency(seconds - edge, seconds + 1)
    print(f"{asked.minutes:g} minutes of speech at {asked.speed:g} x real time, one utterance")
    for name, place in (("server", 1), ("engine", 2)):
        sizes = [one[place] / 1e6 for one in course.memory]
        slope = course.slope(place, _WARM * seconds) * 60 / 1000
        print(
            f"{name}: {sizes[0]:.1f} MB at the start, {sizes[len(sizes) // 6]:.1f} warm, "
            f"{sizes[-1]:.1f} at the end; {slope:+.1f} KB a minute of audio"
        )
    print(f"latency of partials, p50/p95 ms: first {edge / 60:g} minutes {milliseconds(first)}")
    print(f"latency of partials, p50/p95 ms: last {edge / 60:g} minutes  {milliseconds(last)}")
    print(f"final of {course.segments} segments: {course.final * 1000:.0f} ms behind the end")
