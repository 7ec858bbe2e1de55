"""The one transcript that every provider reports and every contract renders."""

from collections.abc import Iterator

from attrs import field, frozen


@frozen(kw_only=True)
class Word:
    """One word as heard. Times are seconds from the start of the audio."""

    text: str
    """The word without surrounding space."""
    start: float
    end: float
    confidence: float | None = None
    """Posterior probability, 0 to 1; None where the provider tells none."""
    speaker: str | None = None


@frozen(kw_only=True)
class Segment:
    """A stretch of speech, about a sentence. Times are seconds from the start of the audio."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    avg_logprob: float | None = None
    """Mean log probability of its tokens."""
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None
    tokens: tuple[int, ...] = ()


@frozen(kw_only=True)
class Transcript:
    """What a provider heard in a whole clip."""

    text: str
    language: str | None = None
    """BCP-47, as spoken; None where unknown."""
    language_confidence: float | None = None
    confidence: float | None = None
    """How sure the provider is of the text, 0 to 1; None where it tells none."""
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    """All words in order; empty where the provider gives no word times."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was heard."""
        return not self.text.strip()


@frozen(kw_only=True)
class TranscriptDelta:
    """A further piece of text of a streamed transcript; the pieces joined are the whole text."""

    text: str
    segment: Segment | None = field(default=None)


TranscriptEvent = TranscriptDelta | Transcript
"""What a stream yields: deltas, then exactly one `Transcript`, which is the last item."""


def in_one_piece(transcript: Transcript) -> Iterator[TranscriptEvent]:
    """Yield a whole transcript as a stream does: one delta, then the transcript."""
    if transcript.text:
        yield TranscriptDelta(text=transcript.text)
    yield transcript


@frozen
class LiveReady:
    """The provider is connected and takes audio; the first item of every live stream."""


@frozen(kw_only=True)
class WindowTranscript:
    """What is said in one window."""

    text: str
    pieces: tuple[str, ...] = ()
    """The text cut where it may be cut, its spaces with what follows them; empty if unknown."""
    words: tuple[Word, ...] = ()
    """Given when they were asked for; times are seconds from the start of the window."""
    language: str | None = None
    """BCP-47; None where unknown."""
    confidence: float | None = None
    """0 to 1; None where the model tells none."""
    seconds: float = 0.0
    """What the engine itself worked on the windows that it was given together."""


@frozen(kw_only=True)
class Alignment:
    """Where each given word is in a recording."""

    words: tuple[Word, ...]
    """The given ones, in order; `confidence` is low where another word is said, or none."""
    confidence: float
    """Geometric mean over all words, 0 to 1. What is high depends on the model: calibrate it."""


@frozen(kw_only=True)
class Timing:
    """What a text of a live session took, seconds."""

    at: float
    """When the newest audio in it was handed over, on the monotonic clock."""
    queued: float
    """Until the model had time for it."""
    decoding: float
    """From then until its answer was there."""
    working: float
    """Of that, what the engine says that it worked."""


@frozen(kw_only=True)
class LivePartial:
    """What the running utterance sounds like so far; the next partial or final replaces it."""

    text: str
    language: str | None = None
    """BCP-47; None where unknown."""
    stable: str | None = None
    """How the text begins that will hardly change any more; None where the model does not say."""
    timing: Timing | None = None
    """Where it is known."""


@frozen(kw_only=True)
class LiveFinal:
    """A stretch of speech that will not change any more. Times: seconds from the stream's start."""

    text: str
    start: float
    end: float
    """No later final speaks of audio before this."""
    words: tuple[Word, ...] = ()
    language: str | None = None
    """BCP-47; None where unknown."""
    confidence: float | None = None
    timing: Timing | None = None
    """Where it is known."""


LiveEvent = LiveReady | LivePartial | LiveFinal
"""What a live stream yields: ready, then partials and finals; it ends after the last final."""
