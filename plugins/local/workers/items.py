"""What every speech worker says, in the order it finds out."""

from msgspec import Struct

from junctor.core.transcripts import Segment


class Spoken(Struct, frozen=True, tag=True):
    """The language of the whole recording; comes at most once, and first."""

    language: str
    """The engine's own code."""
    confidence: float | None = None


class Heard(Struct, frozen=True, tag=True):
    """One more segment, in order of time."""

    segment: Segment


SpeechItem = Spoken | Heard
