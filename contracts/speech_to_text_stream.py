"""
`WS /speech-to-text/stream`: speech is written down while it is spoken.

The client sends `start` (an `Opening`, and beside its fields those of `TranscribeForm`; flags may be
`true` and `false`, JSON fields may be objects), then audio as binary messages or as `audio`, then
`end`. The server sends `ready`, `started` whenever another model listens, `partial` and `final` as
they come, `done` at the end, or `error`, and closes. Text messages are JSON objects.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from junctor.contracts.speech_to_text import Transcription, Wire, Word

MAX_MESSAGE_BYTES = 1024 * 1024
"""Of one message from the client."""
BEARER = "junctor.bearer."
"""Before the token, where a browser sends it as a `Sec-WebSocket-Protocol`."""


class Opening(Wire, frozen=True, kw_only=True):
    """The first message, the fields of `TranscribeForm` apart."""

    type: Literal["start"]
    token: str = ""
    """An API key or token, for clients that cannot send headers."""
    sample_rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 16_000
    """Hz."""
    encoding: Literal["pcm_s16le", "mulaw", "alaw"] = "pcm_s16le"
    """How each sample is sent."""
    channels: Annotated[int, Meta(ge=1, le=8)] = 1
    """Interleaved; they are mixed to one."""


OPENING_EXPECTED = {
    "type": "start",
    "token": "an API key or a token",
    "sample_rate": "8000 to 48000",
    "encoding": "pcm_s16le, mulaw or alaw",
    "channels": "1 to 8",
}
"""What a field of `Opening` takes, in words."""


class Said(Wire, frozen=True, kw_only=True):
    """Any later message of the client."""

    type: str
    """`audio` or `end`."""
    audio: str = ""
    """Samples in base64, where the type is `audio`."""


class _Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What messages of the server share."""


class Ready(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="ready"):
    """The session is admitted; audio is taken."""

    request_id: str
    sample_rate: int
    encoding: str
    channels: int
    max_seconds: float
    """Longest session, seconds of audio."""


class Started(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="started"):
    """From here on this model listens."""

    provider: str
    model: str


class Partial(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="partial"):
    """What the running utterance sounds like so far; the next `partial` or `final` replaces it."""

    text: str


class Final(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="final"):
    """A stretch of speech that will not change; times are seconds from the start of the audio."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] | None = None
    """Given when they were asked for and the model has them."""
    language: str | None = None
    """BCP-47; left out where nobody knows."""
    confidence: float | None = None
    """0 to 1; left out where the model tells none."""
    provider: str
    model: str


class Done(
    Transcription, frozen=True, kw_only=True, omit_defaults=True, tag="done", tag_field="type"
):
    """The whole, as the HTTP form of this contract answers it; the last message."""


class Error(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="error"):
    """Why the socket is closed."""

    status: int
    """The status that HTTP would have."""
    message: str
    detail: dict[str, object]
