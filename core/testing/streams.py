"""What the kit asks of a stream beyond `AsyncIterator`: that it can be closed."""

from typing import Protocol

from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import TranscriptEvent


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
