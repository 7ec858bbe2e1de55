"""A client that dictates in real time, and measures what it waits for by its own clock."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle
from time import perf_counter

from attrs import define, field

from benchmarks.captions.speech import FRAME_SAMPLES, Utterance
from benchmarks.captions.wire import Wire, percentile, text

DETECTED, PARTIAL, FINAL = 0.060, 0.250, 0.800
"""What the contract aims at, 95th percentiles: seconds."""
LEAST = 0.240
"""Speech that is there before the first partial, seconds: the contract's default."""
FRAME_SECONDS = 0.02
_VAD_SAMPLES = 512
_SAMPLES_PER_MS = 16
_SPACE = re.compile(r"\s+")
_END = text('{"type":"end"}')


@define(kw_only=True)
class Waits:
    """What was waited for in all sessions together, seconds; each list has one value an utterance."""

    detected: list[float] = field(factory=list)
    """From the sending of the frame that completes the first 32 ms of speech to `speech_start`."""
    from_sound: list[float] = field(factory=list)
    """The same from the frame in which those 32 ms begin."""
    partial: list[float] = field(factory=list)
    """From the sending of the frame with which `LEAST` of speech is there to the first partial."""
    worded: list[float] = field(factory=list)
    """The same to the first partial that has a word."""
    final: list[float] = field(factory=list)
    """From the sending of `end` to `final`."""
    partials: int = 0
    speech: float = 0.0
    """Seconds from the beginning of speech to the end of its utterance."""
    right: int = 0
    """Finals that are what was said, letter by letter."""

    @property
    def is_held(self) -> bool:
        """Whether all three targets are met."""
        pairs = ((self.detected, DETECTED), (self.partial, PARTIAL), (self.final, FINAL))
        return all(waits and percentile(waits, 0.95) <= target for waits, target in pairs)


@define(eq=False, kw_only=True)
class _Said:
    what: Utterance
    sent: list[float] = field(factory=list)
    ended: float | None = None
    onset: int | None = None
    told: float = 0.0
    has_partial: bool = False
    has_word: bool = False

    def at(self, sample: int) -> float:
        """Return when the frame with a sample was sent."""
        return self.sent[min(sample // FRAME_SAMPLES, len(self.sent) - 1)]


class Dictation:
    """
    Utterance after utterance, its microphone open all the time; `end` behind the last word of each.

    Args:
        wire: of a started session.
        script: what it says, again and again.
        start: when it begins, by `perf_counter`.
        waits: where it notes what begins from `since` on.
        since: by `perf_counter`.

    """

    def __init__(
        self, wire: Wire, script: Sequence[Utterance], *, start: float, waits: Waits, since: float
    ) -> None:
        self.wire, self.due, self._waits, self._since = wire, start, waits, since
        self._script: Iterator[Utterance] = cycle(script)
        self._said: deque[_Said] = deque()
        self._frames: Iterator[bytes] = iter(())

    def act(self) -> None:
        """Send the next frame, with the last of an utterance its end."""
        sound = next(self._frames, None)
        if sound is None:
            self._said.append(_Said(what=next(self._script)))
            self._frames = iter(self._said[-1].what.frames)
            sound = next(self._frames)
        said = self._said[-1]
        self.wire.send(sound)
        said.sent.append(perf_counter())
        if len(said.sent) == len(said.what.frames):
            self.wire.send(_END)
            said.ended = perf_counter()
        self.due += FRAME_SECONDS

    def hear(self, message: bytes, now: float) -> None:
        """Note what an event had to be waited for."""
        event = json.loads(message)
        match event["type"]:
            case "speech_start":
                self._begun(event["offset_ms"], now)
            case "partial":
                self._partial(self._said[0], event["text"], now)
            case "final":
                self._final(self._said.popleft(), event["text"], now)
            case "error":
                raise RuntimeError(event)
            case _:
                return

    def leave(self, now: float) -> None:
        """Hang up; who waits already for longer than is aimed at counts with that."""
        for said in self._said:
            if said.ended is not None and now - said.ended > FINAL and said.ended >= self._since:
                self._waits.final.append(now - said.ended)
            if said.onset is None or said.has_partial or said.told < self._since:
                continue
            if now - (at := said.at(said.onset + round(LEAST * 16_000))) > PARTIAL:
                self._waits.partial.append(now - at)
        self.wire.close()

    def _begun(self, offset_ms: int, now: float) -> None:
        said = next(one for one in reversed(self._said) if one.sent)
        said.told = now
        said.onset = round(offset_ms * _SAMPLES_PER_MS / _VAD_SAMPLES) * _VAD_SAMPLES
        if now >= self._since:
            self._waits.detected.append(now - said.at(said.onset + _VAD_SAMPLES - 1))
            self._waits.from_sound.append(now - said.at(said.onset))

    def _partial(self, said: _Said, words: str, now: float) -> None:
        is_counted = said.onset is not None and said.told >= self._since
        if is_counted and said.onset is not None:
            wait = now - said.at(said.onset + round(LEAST * 16_000))
            self._waits.partials += 1
            if not said.has_partial:
                self._waits.partial.append(wait)
            if words and not said.has_word:
                self._waits.worded.append(wait)
        said.has_partial, said.has_word = True, said.has_word or bool(words)

    def _final(self, said: _Said, words: str, now: float) -> None:
        if said.ended is None or said.onset is None or said.told < self._since:
            return
        self._waits.final.append(now - said.ended)
        self._waits.speech += said.ended - said.at(said.onset)
        self._waits.right += _SPACE.sub("", words) == _SPACE.sub("", said.what.text)


def staggered(script: Sequence[Utterance], number: int) -> Sequence[Utterance]:
    """Let each client begin somewhere else in the script."""
    first = number * 7 % len(script)
    return list(chain(script[first:], script[:first]))


def milliseconds(waits: Iterable[float]) -> str:
    """Write median and 95th percentile."""
    all_ = list(waits)
    return f"{percentile(all_, 0.5) * 1000:5.0f}/{percentile(all_, 0.95) * 1000:5.0f}"
