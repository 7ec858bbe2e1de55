"""What the kit asks of a stream beyond `AsyncIterator`: that it can be closed."""

from collections.abc import AsyncIterator
from typing import Protocol

from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import LiveEvent, TranscriptEvent


class EventStream(Protocol):
    """An asynchronous generator, or anything else that can be read and closed."""

    def __aiter__(self) -> "EventStream": ...

    async def __anext__(self) -> TranscriptEvent: ...

    async def aclose(self) -> None:
        """Stop the work behind it."""


class StreamingProvider(Protocol):
    """A stream-transcriber whose streams close."""

    def stream_transcribe(self, request: TranscribeRequest, /) -> EventStream:
        """See `junctor.core.providers.StreamTranscriber`."""


class LiveStream(Protocol):
    """What a live provider gives, with a way to close it."""

    def __aiter__(self) -> "LiveStream": ...

    async def __anext__(self) -> LiveEvent: ...

    async def aclose(self) -> None:
        """Stop the work behind it."""


class LiveProvider(Protocol):
    """A live transcriber whose streams close."""

    def live_transcribe(self, request: LiveRequest, audio: AsyncIterator[bytes], /) -> LiveStream:
        """See `junctor.core.providers.LiveTranscriber`."""
