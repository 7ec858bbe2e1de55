"""What is asked of a provider: one frozen class per capability, free of any wire format."""

from enum import StrEnum
from pathlib import Path

from attrs import field, frozen

from junctor.core.audio.clip import Clip
from junctor.core.cards import ModelCard
from junctor.core.transcripts import Transcript


class Task(StrEnum):
    """Write down what is said, or say it in English."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


@frozen(kw_only=True)
class TranscribeRequest:
    """A whole recording to be written down."""

    audio: Clip
    model: str = ""
    """The candidate's own model id; the dispatcher fills it in for each candidate."""
    task: Task = Task.TRANSCRIBE
    language: str | None = None
    """BCP-47; None to detect it."""
    prompt: str | None = None
    """Text that may have come before, to bias spelling and style."""
    temperature: float = 0.0
    """Sampling temperature, 0 to 1."""
    word_timestamps: bool = False
    segment_timestamps: bool = False
    diarization: bool = False
    """Whether to tell speakers apart, in `Word.speaker` or `Segment.speaker`."""
    allowed_languages: tuple[str, ...] = ()
    """BCP-47 tags that detection may choose from, where `language` is None; empty for any."""


@frozen(kw_only=True)
class Rolling:
    """How often partials are made of speech by a model that hears windows; all in seconds."""

    interval: float = 0.5
    """Between two partials, at least."""
    least: float = 0.5
    """Speech that is there before the first one."""
    window: float = 6.0
    """How much of the running speech a partial is decoded from; the rest has been agreed on."""


@frozen(kw_only=True)
class LiveRequest:
    """
    Speech to be written down while it is spoken.

    The audio comes beside it, as chunks of PCM: signed 16-bit little-endian, mono, 16,000 Hz.
    """

    model: str = ""
    """The candidate's own model id; the dispatcher fills it in for each candidate."""
    language: str | None = None
    """BCP-47; None to detect it."""
    allowed_languages: tuple[str, ...] = ()
    """BCP-47 tags that detection may choose from; empty for any."""
    word_timestamps: bool = False
    diarization: bool = False
    rolling: Rolling = field(factory=Rolling)
    """For models that hear windows; others make partials as they like."""


@frozen(kw_only=True)
class Window:
    """A stretch of speech of a live session, to be written down together with those of others."""

    pcm: bytes
    """Signed 16-bit little-endian, mono, 16,000 Hz; `ModelCard.window_seconds` at most."""
    language: str | None = None
    """BCP-47; None to detect it."""
    allowed_languages: tuple[str, ...] = ()
    """BCP-47 tags that detection may choose from; empty for any."""
    word_timestamps: bool = False
    is_final: bool = False
    """Whether it is a whole stretch, worth the widest search; else somebody is still speaking."""


@frozen(kw_only=True)
class WindowsRequest:
    """Windows of any sessions, short and long, to be decoded at once."""

    windows: tuple[Window, ...]
    """At least one, `ModelCard.window_batch` at most."""
    model: str = ""
    """The candidate's own model id."""


@frozen(kw_only=True)
class AlignRequest:
    """A text that may have been read in a recording, to be found word by word."""

    audio: Clip
    """`ModelCard.window_seconds` at most."""
    words: tuple[str, ...]
    """In order; of a language without spaces as a word segmenter cuts it."""
    language: str
    """BCP-47."""
    model: str = ""
    """The candidate's own model id; the dispatcher fills it in for each candidate."""


@frozen(kw_only=True)
class ReviseRequest:
    """A transcript that another provider made, to be corrected by reasoning over it."""

    transcript: Transcript
    model: str = ""
    """The candidate's own model id; the dispatcher fills it in for each candidate."""
    language: str | None = None
    """BCP-47; None where unknown."""


@frozen(kw_only=True)
class IdentifyRequest:
    """A recording whose language is asked for."""

    audio: Clip
    model: str = ""
    allowed: frozenset[str] = frozenset()
    """BCP-47 tags to choose from; empty for any."""


@frozen(kw_only=True)
class Identification:
    """The language heard, BCP-47, and how sure the provider is (0 to 1)."""

    language: str
    confidence: float


@frozen(kw_only=True)
class ChatRequest:
    """
    A conversation to be continued.

    It stays in the JSON that it came in, for that is what most providers take: OpenAI's chat
    completions. `junctor.core.chat.dialect` reads it for those who have to look inside.
    """

    body: bytes
    """The document, checked by the contract; `model` and `stream` in it are the caller's."""
    model: str = ""
    """The candidate's own model id, which takes the place of the caller's."""
    wants_usage: bool = False
    """Whether the caller of a stream asked to be told what it took."""

    def at(self, card: ModelCard) -> "ChatRequest":
        """Return the request as a candidate gets it."""
        return ChatRequest(body=self.body, model=card.id, wants_usage=self.wants_usage)


@frozen(kw_only=True)
class ChatReply:
    """A whole answer."""

    body: bytes
    """A `chat.completion` of OpenAI's dialect, JSON."""


@frozen(kw_only=True)
class VideoRequest:
    """A picture to be set in motion, with sound: H.264 and AAC in one MP4."""

    image: bytes = field(repr=False)
    """The first frame: PNG, RGB, 8 bits a sample, of exactly `width` by `height` pixels."""
    prompt: str
    """How the picture is to move."""
    seconds: int
    """Length of the video; it has `seconds * rate` frames."""
    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    rate: int = 24
    """Frames per second."""
    seed: int = 0
    """0 to 2,147,483,647."""
    target: Path
    """Where the MP4 is to be written; in a folder that is this attempt's alone, and goes with it."""
    key: str = ""
    """The same whenever the same job is run again: an idempotency key for a remote provider."""
    model: str = ""
    """The candidate's own model id; the dispatcher fills it in for each candidate."""


class VideoStage(StrEnum):
    """What is done at the moment, in order."""

    LOADING = "loading"
    """The model is brought into memory."""
    PREPARING = "preparing"
    """Picture and prompt are encoded."""
    GENERATING = "generating"
    DECODING = "decoding"
    """Frames and sound are made of what was generated."""
    ENCODING = "encoding"
    """The file is written."""


@frozen(kw_only=True)
class VideoProgress:
    """How far a video is."""

    stage: VideoStage
    share: float
    """Of the whole work, 0 to 1; it does not go back."""
    step: int = 0
    """Of this stage, as far as it has steps."""
    steps: int = 0
