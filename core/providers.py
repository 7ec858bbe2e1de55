"""
The provider API: an object with a name, its cards, a life cycle, and one method per capability.

There is no base class to inherit: an object with these methods *is* a provider. It is async only,
raises the errors of `junctor.core.errors`, and knows nothing of HTTP servers or contracts.

The rules, which `junctor.core.testing` checks:

* Listing costs nothing: heavy imports and I/O happen in `start()` or later, never at import.
* `start()` is called once before the first request, `close()` once after the last; `close()` may
  be called twice, and without `start()`.
* A capability that a card claims is implemented by its protocol's method.
* Cancelling the task, or closing the iterator, stops the upstream work.
* A method never blocks the event loop.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

from junctor.core.cards import Capability, ModelCard
from junctor.core.requests import (
    ChatReply,
    ChatRequest,
    Identification,
    IdentifyRequest,
    TranscribeRequest,
)
from junctor.core.transcripts import Transcript, TranscriptEvent


class Provider(Protocol):
    """What every provider has."""

    @property
    def name(self) -> str:
        """Short, lower case, unique in the deployment: `whisper`, `openai`."""

    def models(self) -> Sequence[ModelCard]:
        """Return what it serves, as data; the same answer whenever it is asked."""

    async def start(self) -> None:
        """Open what it needs. An error here takes the provider out, and nothing else."""

    async def close(self) -> None:
        """Release everything; may be called more than once."""


@runtime_checkable
class Transcriber(Provider, Protocol):
    """`Capability.TRANSCRIBE`."""

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """Write down a recording, or translate it to English when `request.task` says so."""


@runtime_checkable
class StreamTranscriber(Provider, Protocol):
    """`Capability.STREAM_TRANSCRIBE`."""

    def stream_transcribe(self, request: TranscribeRequest, /) -> AsyncIterator[TranscriptEvent]:
        """Yield text as it is found, and the whole transcript as the last item."""


@runtime_checkable
class LanguageIdentifier(Provider, Protocol):
    """`Capability.IDENTIFY_LANGUAGE`."""

    async def identify_language(self, request: IdentifyRequest, /) -> Identification:
        """Say which language is spoken."""


@runtime_checkable
class ChatModel(Provider, Protocol):
    """`Capability.CHAT`."""

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """Continue a conversation."""


PROTOCOLS: dict[Capability, type[object]] = {
    Capability.TRANSCRIBE: Transcriber,
    Capability.STREAM_TRANSCRIBE: StreamTranscriber,
    Capability.IDENTIFY_LANGUAGE: LanguageIdentifier,
    Capability.CHAT: ChatModel,
}
"""The protocol of each capability."""
