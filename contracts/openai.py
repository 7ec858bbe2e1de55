"""
The OpenAI contract: transcriptions, translations, models, errors.

Seed 003 describes the surface; the shapes are those that the openai SDKs read. `GET /v1/models`
and `GET /health` are shared with the speech contract (seed 001): their Structs here satisfy both.
Unknown form fields are ignored, as OpenAI does.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]


class Wire(Struct, frozen=True, kw_only=True):
    """What all Structs of this contract share: frozen, by keyword, unknown fields ignored."""


class TranslationForm(Wire, frozen=True, kw_only=True):
    """Fields of `POST /v1/audio/translations`, beside the file."""

    model: str = ""
    """Empty for the deployment's default."""
    prompt: str = ""
    response_format: ResponseFormat = "json"
    temperature: Annotated[float, Meta(ge=0, le=1)] = 0.0


class TranscriptionForm(TranslationForm, frozen=True, kw_only=True):
    """Fields of `POST /v1/audio/transcriptions`, beside the file."""

    language: Language | None = None
    timestamp_granularities: tuple[Granularity, ...] = ()
    stream: bool = False


LIST_FIELDS = frozenset({"timestamp_granularities"})
"""Form fields that may be given more than once, with or without `[]` after the name."""

EXPECTED = {
    "language": "an ISO-639-1 code such as en or th, or a BCP-47 tag such as en-IN",
    "response_format": "one of json, text, srt, verbose_json, vtt",
    "temperature": "a number from 0 to 1",
    "timestamp_granularities": "word, segment, or both",
    "stream": "true or false",
}
"""What a field takes, in words, for the message that refuses it."""


class DurationUsage(Wire, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """What is billed: the length of the audio, seconds."""

    seconds: float


class Transcription(Wire, frozen=True, kw_only=True):
    """Answer in the format `json`."""

    text: str
    usage: DurationUsage


class TranscriptionWord(Wire, frozen=True, kw_only=True):
    """One word; times are seconds from the start."""

    word: str
    start: float
    end: float


class TranscriptionSegment(Wire, frozen=True, kw_only=True):
    """One segment; figures that the provider does not tell are 0, since the SDKs want numbers."""

    id: int
    seek: int
    """Offset in the audio, hundredths of a second."""
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class TranscriptionVerbose(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Answer in the format `verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str
    """English name, lower case."""
    duration: float
    """Length of the audio, seconds."""
    text: str
    segments: tuple[TranscriptionSegment, ...] | None = None
    words: tuple[TranscriptionWord, ...] | None = None
    usage: DurationUsage


class DetectedLanguage(Wire, frozen=True, kw_only=True):
    """A language heard in the audio, ISO-639-1 or BCP-47."""

    code: str


class TextDelta(Wire, frozen=True, kw_only=True, tag_field="type", tag="transcript.text.delta"):
    """Stream event: a further piece of text."""

    delta: str


class TextDone(
    Wire,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="transcript.text.done",
    omit_defaults=True,
):
    """Stream event, the last one: the whole text."""

    text: str
    languages: tuple[DetectedLanguage, ...] = ()


class ErrorDetail(Wire, frozen=True, kw_only=True):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    request_id: str = ""
    """Names the request in the server's log; the speech contract has it, OpenAI has not."""


class ErrorEnvelope(Wire, frozen=True, kw_only=True):
    """Every error of this contract."""

    error: ErrorDetail


class ModelCard(Wire, frozen=True, kw_only=True):
    """One model, for the openai SDKs and for the speech contract at once."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    """Unix time; 0, since nobody knows when a configured model was made."""
    owned_by: str
    display_name: str
    description: str
    modes: tuple[str, ...] = ()
    """Speech contract: subset of `tts`, `converse`."""
    speakers: tuple[str, ...] = ()
    """Speech contract: role labels."""
    default: bool = False
    """Whether a request that names no model gets this one."""
    capabilities: tuple[str, ...] = ()
    """What it does, in our words."""


class ModelList(Wire, frozen=True, kw_only=True):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]
