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

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, runtime_checkable

from junctor.core.cards import Capability, ModelCard
from junctor.core.requests import (
    AlignRequest,
    ChatReply,
    ChatRequest,
    Identification,
    IdentifyRequest,
    LiveRequest,
    ReviseRequest,
    TranscribeRequest,
    VideoProgress,
    VideoRequest,
    WindowsRequest,
)
from junctor.core.transcripts import (
    Alignment,
    LiveEvent,
    Transcript,
    TranscriptEvent,
    WindowTranscript,
)


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
class LiveTranscriber(Provider, Protocol):
    """`Capability.LIVE_TRANSCRIBE`."""

    def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncIterator[LiveEvent]:
        """
        Write down speech while it is spoken.

        Args:
            request: what is asked.
            audio: chunks of PCM, signed 16-bit little-endian, mono, 16,000 Hz, of any even size;
                its end means that no more will be said. It may bring hours.

        Yields:
            `LiveReady` as soon as audio is taken, then partials and finals. When `audio` has ended
            the last words come as a final, and the stream ends.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """


@runtime_checkable
class WindowTranscriber(Provider, Protocol):
    """`Capability.TRANSCRIBE_WINDOWS`."""

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        """
        Write down many short stretches of speech at once.

        Returns:
            One transcript for each window, in their order; the text of silence is empty.

        Raises:
            ProviderError: none of them could be done; the subclass says why.

        """


@runtime_checkable
class Aligner(Provider, Protocol):
    """`Capability.ALIGN`."""

    async def align(self, request: AlignRequest, /) -> Alignment:
        """
        Find given words in a recording (forced alignment), and say how surely each is said.

        Raises:
            ProviderRejectedError: no word is given, or the audio is longer than it takes.

        """


@runtime_checkable
class TranscriptReviser(Provider, Protocol):
    """`Capability.REVISE_TRANSCRIPT`: no ears, but it reasons over what another one heard."""

    async def revise(self, request: ReviseRequest, /) -> Transcript:
        """Return the transcript corrected; times and speakers are kept or left out, not made up."""


@runtime_checkable
class LanguageIdentifier(Provider, Protocol):
    """`Capability.IDENTIFY_LANGUAGE`."""

    async def identify_language(self, request: IdentifyRequest, /) -> Identification:
        """Say which language is spoken."""


@runtime_checkable
class ChatModel(Provider, Protocol):
    """`Capability.CHAT`."""

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """
        Continue a conversation.

        Raises:
            ProviderError: it failed; the subclass says how.

        """

    def stream_chat(self, request: ChatRequest, /) -> AsyncIterator[bytes]:
        """
        Continue a conversation, piece by piece.

        Yields:
            The bytes of a stream of server-sent events, cut anywhere: `chat.completion.chunk`
            objects of OpenAI's dialect, that with `finish_reason` among them, one with `usage`
            where that is known, and `[DONE]`, which may be left out. Closing the iterator stops
            the work.

        Raises:
            ProviderError: it failed, or broke off; the subclass says how.

        """


@runtime_checkable
class VideoGenerator(Provider, Protocol):
    """`Capability.GENERATE_VIDEO`."""

    async def generate_video(
        self, request: VideoRequest, report: Callable[[VideoProgress], None], /
    ) -> None:
        """
        Write the video to `request.target`: an MP4 with one H.264 and one AAC stream.

        It has `request.seconds * request.rate` frames of `request.width` by `request.height`
        pixels, the sound lasts as long, and its first frame is the picture.

        Args:
            request: what is asked.
            report: told how far it is, as often as one likes; it returns at once.

        Raises:
            ProviderError: it failed; the subclass says how.

        """


PROTOCOLS: dict[Capability, type[object]] = {
    Capability.TRANSCRIBE: Transcriber,
    Capability.STREAM_TRANSCRIBE: StreamTranscriber,
    Capability.LIVE_TRANSCRIBE: LiveTranscriber,
    Capability.TRANSCRIBE_WINDOWS: WindowTranscriber,
    Capability.ALIGN: Aligner,
    Capability.REVISE_TRANSCRIPT: TranscriptReviser,
    Capability.IDENTIFY_LANGUAGE: LanguageIdentifier,
    Capability.CHAT: ChatModel,
    Capability.GENERATE_VIDEO: VideoGenerator,
}
"""The protocol of each capability."""
