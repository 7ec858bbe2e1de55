"""What every speech worker says, in the order it finds out."""

from msgspec import Struct

from junctor.core.transcripts import Segment, Word


class Spoken(Struct, frozen=True, tag=True):
    """The language of the whole recording; comes at most once, and first."""

    language: str
    """The engine's own code."""
    confidence: float | None = None


class Heard(Struct, frozen=True, tag=True):
    """One more segment, in order of time."""

    segment: Segment


SpeechItem = Spoken | Heard


class WindowHeard(Struct, frozen=True, tag=True):
    """What is said in one of the windows that were given together; they come in their order."""

    text: str
    """Empty where nothing is said."""
    pieces: tuple[str, ...] = ()
    """The text cut where it may be cut, its spaces with what follows them."""
    words: tuple[Word, ...] = ()
    """Given when they were asked for; times are seconds from the start of the window."""
    language: str | None = None
    """The engine's own code."""
    confidence: float | None = None
    """0 to 1."""
    seconds: float = 0.0
    """What the engine worked on all windows that were given together."""


class Aligned(Struct, frozen=True, tag=True):
    """Where given words are, in their order."""

    words: tuple[Word, ...]
    confidence: float
    """Geometric mean over all words, 0 to 1."""
