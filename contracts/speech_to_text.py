"""
The speech-to-text contract (seed 002): one schema over every vendor.

`POST /speech-to-text/transcribe` takes a form and answers JSON, or server-sent events to
`Accept: text/event-stream`; `WS /speech-to-text/stream` takes the same fields in its first message
and then audio. Booleans are the strings "true" and "false". Fields that the seed does not name are
ignored in requests, and are additions in answers.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

VENDORS = (
    "openai",
    "xai",
    "elevenlabs",
    "sarvam",
    "google",
    "aws",
    "azure",
    "deepgram",
    "assemblyai",
    "anthropic",
)
"""The slugs that the contract names for `provider`; a deployment may serve others besides."""

TierName = Literal["low", "medium", "high"]
LanguageMode = Literal["fixed", "auto"]
CallbackState = Literal["waiting", "pending", "delivered", "failed"]
Flag = Literal["true", "false"]

MAX_METADATA_BYTES = 16 * 1024
"""Of the field `metadata`, at most."""
MAX_METADATA_DEPTH = 50
"""Objects and lists within each other in `metadata`, at most."""
MAX_POLICY_BYTES = 16 * 1024
"""Of the field `accuracy_language_policy`, at most."""
MAX_RETENTION_HOURS = 8760
"""A year."""


class Wire(Struct, frozen=True, kw_only=True):
    """What all Structs of this contract share: frozen, by keyword, unknown fields ignored."""


class TranscribeForm(Wire, frozen=True, kw_only=True):
    """Fields beside the part `audio`; an empty string is a field that was not given."""

    provider: str = ""
    """A provider's slug, or `provider:model_id`."""
    model: str = ""
    """A model id, `provider:model_id`, or a public model name of the deployment."""
    language: Annotated[str, Meta(max_length=35)] = ""
    """BCP-47; "en" where neither it nor a policy says otherwise."""
    language_mode: LanguageMode | Literal[""] = ""
    """"fixed" where neither it nor a policy says otherwise."""
    accuracy: TierName = "medium"
    accuracy_language_policy: Annotated[str, Meta(max_length=MAX_POLICY_BYTES)] = ""
    """JSON: `AccuracyLanguagePolicy` by tier."""
    enable_word_timestamps: Flag = "false"
    enable_diarization: Flag = "false"
    enable_pii_redaction: Flag = "false"
    callback_url: Annotated[str, Meta(max_length=2048)] = ""
    idempotency_key: Annotated[str, Meta(max_length=200)] = ""
    metadata: Annotated[str, Meta(max_length=MAX_METADATA_BYTES)] = ""
    """A JSON object, echoed in logs and callbacks."""
    retention_hours: Annotated[float, Meta(ge=0, le=MAX_RETENTION_HOURS)] | None = None
    """How long what is stored for the request is kept, hours; None for the deployment's default."""
    unique_id: Annotated[str, Meta(max_length=128)] = ""
    """The caller's correlation id, for logs and callbacks."""


EXPECTED = {
    "provider": "a provider's name, or provider:model_id",
    "language": "a BCP-47 tag such as en, en-IN or th-TH",
    "language_mode": "fixed or auto",
    "accuracy": "low, medium or high",
    "accuracy_language_policy": f"a JSON object of {MAX_POLICY_BYTES} characters at most",
    "enable_word_timestamps": "true or false",
    "enable_diarization": "true or false",
    "enable_pii_redaction": "true or false",
    "callback_url": "a URL of 2,048 characters at most",
    "idempotency_key": "1 to 200 printable characters",
    "metadata": f"a JSON object of {MAX_METADATA_BYTES} characters at most",
    "retention_hours": f"a number of hours from 0 to {MAX_RETENTION_HOURS}",
    "unique_id": "128 characters at most",
}
"""What a field takes, in words, for the message that refuses it."""


class LanguagePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `accuracy_language_policy` says of one tier; None or empty where it says nothing."""

    language_mode: LanguageMode | None = None
    language: str | None = None
    allowed_languages: tuple[str, ...] = ()
    provider_preference: tuple[str, ...] = ()
    prefer_providers: tuple[str, ...] = ()
    """Another name of `provider_preference`."""
    fallback_chain: tuple[str, ...] = ()


class AccuracyLanguagePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The field of that name: one policy for each tier that it names."""

    low: LanguagePolicy | None = None
    medium: LanguagePolicy | None = None
    high: LanguagePolicy | None = None


class Word(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One word; times are seconds from the start."""

    word: str
    start: float
    end: float
    confidence: float | None = None
    speaker: str | None = None


class Usage(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """What the request used, and what it costs."""

    audio_seconds: float
    billed_seconds: int
    """`audio_seconds`, rounded up."""
    realtime_factor: float
    """Seconds of work per second of audio."""
    cost: float
    """US dollars, at the prices of the deployment's cards."""
    attempts: int
    """Attempts at providers, the last one included."""
    ensemble: tuple[str, ...] = ()
    """The models whose words were voted, where there was more than one."""


class Segment(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """A stretch of one speaker's; times are seconds from the start."""

    text: str
    start: float
    end: float
    speaker: str | None = None


class Transcription(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """The answer."""

    status: Literal["success"]
    request_id: str
    text: str
    detected_language: str | None = None
    """BCP-47; left out where nobody knows."""
    confidence: float | None = None
    """0 to 1; left out where the provider tells none."""
    words: tuple[Word, ...] | None = None
    """Given when they were asked for and the provider has them."""
    segments: tuple[Segment, ...] | None = None
    """Given when speakers were asked for and are known by segment only."""
    provider: str
    model: str
    accuracy: TierName
    usage: Usage
    warnings: tuple[str, ...] = ()
    """Wishes that could not be fulfilled."""
    metadata: dict[str, object] | None = None
    unique_id: str | None = None


class Accepted(Wire, frozen=True, kw_only=True):
    """The answer, 202, to a request with a callback."""

    status: Literal["accepted"]
    job_id: str
    request_id: str
    status_url: str
    """Path where the job is shown."""


class JobStatus(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """A job: what `GET /speech-to-text/jobs/{job_id}` answers, and what the callback gets."""

    job_id: str
    request_id: str
    """Of the request that submitted it."""
    status: Literal["queued", "running", "done", "failed", "canceled"]
    progress: float
    """Share that is done, 0 to 1."""
    created_at: str
    """RFC 3339, UTC."""
    finished_at: str | None = None
    result: Raw | None = None
    """The `Transcription`, while it is kept."""
    error: str | None = None
    callback_state: CallbackState | None = None
    metadata: dict[str, object] | None = None
    unique_id: str | None = None


class JobList(Wire, frozen=True, kw_only=True):
    """A page of a team's jobs, newest first."""

    data: tuple[JobStatus, ...]
    has_more: bool
    """Whether `?before=<last job_id>` would give more."""


class Delivered(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One try to deliver a callback."""

    number: int
    at: str
    """RFC 3339, UTC."""
    status: int | None = None
    """HTTP status of the answer; left out where there was none."""
    error: str | None = None
    """What went wrong, in a word."""
    seconds: float


class DeliveryList(Wire, frozen=True, kw_only=True):
    """All tries to deliver a job's callback, oldest first."""

    data: tuple[Delivered, ...]


class Refused(Wire, frozen=True, kw_only=True):
    """Errors that the caller can mend: 400, 401, 404, 405, 413, 429."""

    detail: dict[str, object]
    message: str


class Failed(Wire, frozen=True, kw_only=True):
    """Errors that the caller cannot mend: 5xx."""

    error: str
