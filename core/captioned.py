"""One utterance of a client, and the captions that are made of it."""

import asyncio
from collections import deque
from time import monotonic
from typing import Final

from attrs import define, field, frozen

from junctor.core.agreement import Agreement, pieces_of
from junctor.core.audio.pcm import PcmIntake
from junctor.core.live import LiveRun
from junctor.core.tape import Tape
from junctor.core.transcripts import LiveFinal, LivePartial, Segment, Timing, Transcript

_ARRIVALS: Final = 8  # 80 ms at the shortest frames: more than the detector needs to judge one
MAX_SHOWN: Final = 20
"""Stretches of speech that a caption shows, the newest: a caption rolls, a final has all."""


@frozen(kw_only=True)
class SpeechStarted:
    """Somebody began to speak in the utterance under way."""

    offset: float
    """Where, seconds from the start of the utterance."""
    latency: float
    """From the arrival of that sound until it was known, seconds."""


@frozen(kw_only=True)
class Caption:
    """What an utterance sounds like so far, or, where it `is_final`, what was said in it."""

    text: str
    segments: tuple[Segment, ...] = ()
    """Stretches between pauses; times are seconds from the start of the utterance."""
    stable: str = ""
    """How the text begins that will hardly change any more."""
    audio: float
    """Length of the utterance so far, seconds."""
    provider: str
    """Who answered."""
    model: str
    latency: float = 0.0
    """From the newest audio in it, or from the end of the utterance, until the text was there."""
    timing: Timing | None = None
    """What the model took, where that is known."""
    is_final: bool = False
    is_flush: bool = False
    """Whether the client asked for it."""


@frozen
class WasReset:
    """What was buffered is gone."""


CaptionEvent = SpeechStarted | Caption | WasReset
"""What a session yields."""


@define(eq=False, kw_only=True)
class Utterance:
    """What is said between two ends, and what became of it so far."""

    tape: Tape
    intake: PcmIntake
    begins: int
    """Frames of the client's audio before it."""
    provider: str
    model: str
    frames: int = 0
    """Frames of the client's audio in it."""
    arrivals: deque[tuple[int, float]] = field(factory=lambda: deque(maxlen=_ARRIVALS))
    """Where the latest pieces of it end on the tape, and when they came."""
    ended_at: float | None = None
    is_reset: bool = False
    has_onset: bool = False
    task: asyncio.Task[None] | None = None
    run: LiveRun | None = None
    finals: list[LiveFinal] = field(factory=list)
    agreement: Agreement = field(factory=Agreement)
    shown: Caption | None = None

    @property
    def seconds(self) -> float:
        """Its length so far."""
        return self.frames / self.intake.rate

    def caption(self, partial: LivePartial | None = None) -> Caption:
        """Return what is to be shown now."""
        finals = self.finals[-MAX_SHOWN:]
        segments = tuple(Segment(text=one.text, start=one.start, end=one.end) for one in finals)
        stable = " ".join(one.text for one in finals)
        text, timing = stable, finals[-1].timing if finals and partial is None else None
        if partial is not None and partial.text.strip():
            start = finals[-1].end if finals else 0.0
            current = partial.text.strip()
            segments += (Segment(text=current, start=start, end=max(start, self.seconds)),)
            text = f"{text} {current}".strip()
            stable = f"{stable} {self._stable(partial)}".strip()
            timing = partial.timing
        self.shown = Caption(
            text=text,
            segments=segments,
            stable=stable,
            audio=self.seconds,
            provider=self.provider,
            model=self.model,
            latency=self._latency(timing),
            timing=timing,
        )
        return self.shown

    def final(self, transcript: Transcript) -> Caption:
        """Return all that was said, now that it has ended, as the plugins leave it."""
        finals = self.finals
        return Caption(
            text=transcript.text,
            segments=transcript.segments,
            audio=self.seconds,
            provider=self.provider,
            model=self.model,
            latency=monotonic() - self.ended_at if self.ended_at is not None else 0.0,
            timing=finals[-1].timing if finals else None,
            is_final=True,
        )

    def _stable(self, partial: LivePartial) -> str:
        if partial.stable is not None:
            return partial.stable.strip()
        self.agreement.hear(pieces_of(partial.text.strip()))
        return "".join(self.agreement.agreed).strip()

    def _latency(self, timing: Timing | None) -> float:
        now = monotonic()
        if timing is not None:
            return now - timing.at
        return now - self.arrivals[-1][1] if self.arrivals else 0.0
