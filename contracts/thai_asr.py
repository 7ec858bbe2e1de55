"""
`/api/thai-asr`: live Thai captions, several utterances on one socket.

The client asks for a session over HTTP, opens the `ws_url` that it gets, waits for `ready`, sends
`start` (the fields of `SessionConfig` beside its type), then audio, and `end` behind each utterance.
Text messages are JSON objects. Times are whole milliseconds, those of segments seconds.
"""

from typing import Annotated

from msgspec import Meta, Struct

MODE = "benchmark_spike"
"""What `mode` says; clients may look for it."""
BACKEND = "persistent_decoder"
"""What `backend` says."""
LANGUAGE = "th"
MAX_MESSAGE_BYTES = 1024 * 1024
"""Of one message from the client."""


class _Object(Struct, frozen=True, kw_only=True):
    """What all Structs of this contract share: frozen, by keyword, unknown fields ignored."""


class SessionConfig(_Object, frozen=True, kw_only=True):
    """Body of `POST /sessions`, and the fields of `start`; every one may be left out."""

    sample_rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 16_000
    """Of the audio, Hz."""
    frame_ms: Annotated[int, Meta(ge=10, le=200)] = 20
    """How much audio a message has; a hint that nothing depends on."""
    partial_interval_ms: Annotated[int, Meta(ge=20, le=1_000)] = 40
    """Between two partials, at least."""
    min_decode_audio_ms: Annotated[int, Meta(ge=100, le=5_000)] = 240
    """Speech that is there before the first partial."""
    decode_window_ms: Annotated[int, Meta(ge=200, le=15_000)] = 1_600
    """How much of the running speech a partial is decoded from."""
    vad: bool = True
    """Whether `speech_start` is sent."""
    benchmark_label: Annotated[str, Meta(max_length=200)] | None = None
    """The client's own note; it comes back as it was."""


EXPECTED = {
    "sample_rate": "an integer from 8000 to 48000",
    "frame_ms": "an integer from 10 to 200",
    "partial_interval_ms": "an integer from 20 to 1000",
    "min_decode_audio_ms": "an integer from 100 to 5000",
    "decode_window_ms": "an integer from 200 to 15000",
    "vad": "true or false",
    "benchmark_label": "a string of 200 characters at most",
}
"""What a field of `SessionConfig` takes, in words."""


class Tenant(_Object, frozen=True, kw_only=True):
    """Whose key it is."""

    team_id: str
    team_name: str
    key_prefix: str
    """Empty for a token."""


class Limits(_Object, frozen=True, kw_only=True):
    """What the team may do."""

    requests_per_minute: int
    concurrent_sessions: int
    daily_audio_seconds: int | float | None
    """None for no bound."""
    today_audio_seconds_used: int
    """Since 00:00 UTC, sessions under way included."""


class Defaults(_Object, frozen=True, kw_only=True):
    """The config of a client that sends none."""

    sample_rate: int = 16_000
    frame_ms: int = 20
    stream_chunk_ms: int = 80
    partial_interval_ms: int = 40
    min_decode_audio_ms: int = 240
    decode_window_ms: int = 1_600
    vad: bool = True


class ConfigAnswer(_Object, frozen=True, kw_only=True):
    """What `GET /config` answers."""

    language: str = LANGUAGE
    mode: str = MODE
    backend: str = BACKEND
    engine: str
    defaults: Defaults = Defaults()
    notes: tuple[str, ...]
    tenant: Tenant
    limits: Limits


class SlaTargets(_Object, frozen=True, kw_only=True):
    """What the service aims at, 95th percentiles."""

    speech_detected_p95_ms: int = 60
    first_partial_p95_ms: int = 250
    final_after_eou_p95_ms: int = 800


class SessionAnswer(_Object, frozen=True, kw_only=True):
    """What `POST /sessions` answers."""

    session_id: str
    mode: str = MODE
    language: str = LANGUAGE
    engine: str
    backend: str = BACKEND
    ws_url: str
    """A browser appends `&api_key=<key>`."""
    config: SessionConfig
    sla_targets: SlaTargets = SlaTargets()
    tenant: Tenant


class Failed(_Object, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every HTTP error."""

    error: str
    """A sentence."""
    code: str
    param: str | None = None
    """The field at fault."""
    request_id: str


class Said(_Object, frozen=True, kw_only=True):
    """A message of the client."""

    type: str
    """`start`, `audio`, `flush`, `end`, `end_utterance` or `reset`."""
    audio_b64: object = None
    """Samples in base64, where the type is `audio`."""


class _Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What messages of the server share."""

    session_id: str


class Ready(_Event, frozen=True, kw_only=True, tag="ready"):
    """The session is admitted; `start` is waited for."""

    mode: str = MODE
    language: str = LANGUAGE
    engine: str
    backend: str = BACKEND
    sample_rate: int
    """Of the session's config, Hz."""
    limits: Limits
    tenant: Tenant


class Started(_Event, frozen=True, kw_only=True, tag="started"):
    """Audio is taken."""

    engine: str
    backend: str = BACKEND
    config: SessionConfig


class SpeechStart(_Event, frozen=True, kw_only=True, tag="speech_start"):
    """Somebody began to speak."""

    offset_ms: int
    """Where, from the start of the utterance."""
    latency_ms: int
    """From the arrival of that sound until it was known."""


class Stretch(_Object, frozen=True, kw_only=True):
    """Speech between two pauses; seconds from the start of the utterance."""

    start: float
    end: float
    text: str


class Partial(_Event, frozen=True, kw_only=True, tag="partial"):
    """What the utterance sounds like so far; the next one replaces it."""

    engine: str
    backend: str = BACKEND
    text: str
    segments: tuple[Stretch, ...]
    audio_ms: int
    """Length of the utterance so far."""
    latency_ms: int
    """From the newest audio in the text until the text was there."""
    queue_ms: int
    """Until the engine had time for it."""
    decode_ms: int
    """From then until its answer was there."""


class StabilizedPartial(Partial, frozen=True, kw_only=True, tag="stabilized_partial"):
    """How the utterance begins that will hardly change any more."""


class Final(Partial, frozen=True, kw_only=True, tag="final"):
    """What was said; `latency_ms` is from the end of the utterance."""

    processing_time_ms: int
    """That the engine says it worked."""
    audio_duration_ms: int


class Error(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="error"):
    """What is wrong; the socket closes behind it only where the code says so."""

    code: str
    error: str
    """A sentence."""
    param: str | None = None
    """The field at fault."""


class ResetOk(_Event, frozen=True, kw_only=True, tag="reset_ok"):
    """What was buffered is gone."""
