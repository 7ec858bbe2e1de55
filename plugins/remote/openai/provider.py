"""One server that speaks the OpenAI API, as a provider."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import msgspec

from junctor.core.audio import Clip
from junctor.core.cards import Feature, ModelCard
from junctor.core.chat.relay import ChatServer
from junctor.core.errors import ProviderUnavailableError
from junctor.core.net import Pool, RelayStream, Target, Upload, form_body
from junctor.core.requests import ChatReply, ChatRequest, LiveRequest, Task, TranscribeRequest
from junctor.core.transcripts import (
    LiveEvent,
    LiveReady,
    Transcript,
    TranscriptEvent,
    in_one_piece,
)
from junctor.plugins.remote.openai import live, wire
from junctor.plugins.remote.openai.cards import Served, served_by
from junctor.plugins.remote.openai.settings import ProviderSettings
from junctor.plugins.remote.openai.streaming import nonsense, transcript_events
from junctor.plugins.remote.vendor import fitted, rejected

_RENAMED = {"max_tokens": "max_completion_tokens"}
"""What OpenAI itself calls otherwise by now: its models that reason refuse the old name."""


class OpenAIProvider:
    """
    Transcribes, listens live, translates and chats by way of one server.

    Args:
        name: the provider's name in the deployment.
        settings: its table, checked.
        pool: connections, shared with the other servers of the plugin.

    """

    def __init__(self, name: str, settings: ProviderSettings, pool: Pool) -> None:
        self._name = name
        self._settings = settings
        self._pool = pool
        self._served = served_by(name, settings)
        self._base_url = settings.base_url.rstrip("/")
        self._headers = _headers(settings)
        self._chats = ChatServer(
            pool=pool,
            url=f"{self._base_url}/chat/completions",
            headers=self._headers,
            timeout=settings.timeout,
            tells_usage=settings.tells_usage,
            renamed=_RENAMED if settings.is_official else {},
        )
        self._is_open = False

    @property
    def name(self) -> str:
        """The name of its table."""
        return self._name

    def __repr__(self) -> str:
        return f"OpenAIProvider({self._name!r})"

    def models(self) -> Sequence[ModelCard]:
        """Return the cards of its models."""
        return [served.card for served in self._served.values()]

    async def start(self) -> None:
        """Open the pool, or join it."""
        if not self._is_open:
            await self._pool.open()
            self._is_open = True

    async def close(self) -> None:
        """Leave the pool."""
        if self._is_open:
            self._is_open = False
            await self._pool.close()

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down, or translate to English, with the model that `request.model` names.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        target = Target(self._name, request.model)
        served = self._fit(request, target)
        form = wire.form_of(request, served)
        upload = await _upload_of(request.audio, served, target)
        answer = await self._pool.relay.post(
            f"{self._base_url}{form.path}",
            headers=self._headers,
            body=form_body(form.fields, upload),
            target=target,
            within=self._settings.timeout,
        )
        return self._read(answer.checked(target), request, target)

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """
        Yield text as the server writes it, then the transcript.

        A model that does not stream, and a server that ignores the wish, give one piece.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        target = Target(self._name, request.model)
        served = self._fit(request, target)
        if not served.streams or request.task is Task.TRANSLATE:
            for event in in_one_piece(await self.transcribe(request)):
                yield event
            return
        form = wire.form_of(request, served, stream=True)
        upload = await _upload_of(request.audio, served, target)
        async with self._pool.relay.stream(
            f"{self._base_url}{form.path}",
            headers=self._headers,
            body=form_body(form.fields, upload),
            target=target,
            within=self._settings.timeout,
        ) as answer:
            await answer.check()
            async with aclosing(self._events(answer, request, target)) as events:
                async for event in events:
                    yield event

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken, over the realtime WebSocket; text only.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        target = Target(self._name, request.model)
        served = self._find(target)
        if not served.is_live:
            raise rejected(target, f"does not listen live with {target.model}")
        async with self._pool.relay.socket(
            f"{self._settings.live_url}?intent=transcription",
            headers=self._headers,
            target=target,
            within=live.READY_WITHIN,
        ) as socket:
            session = await live.begun(socket, request, served)
            yield LiveReady()
            async with aclosing(session.events(audio)) as events:
                async for event in events:
                    yield event

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """
        Continue a conversation.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        target = Target(self._name, request.model)
        self._find(target)
        return await self._chats.chat(request, target)

    def stream_chat(self, request: ChatRequest, /) -> AsyncIterator[bytes]:
        """Continue a conversation, in the server's own bytes; raises as `chat` does."""
        target = Target(self._name, request.model)
        self._find(target)
        return self._chats.stream(request, target)

    async def _events(
        self, answer: RelayStream, request: TranscribeRequest, target: Target
    ) -> AsyncGenerator[TranscriptEvent, None]:
        if not answer.is_events:
            for event in in_one_piece(self._read(await answer.read(), request, target)):
                yield event
            return
        async with aclosing(transcript_events(answer, request, target)) as events:
            async for event in events:
                yield event

    def _read(self, body: bytes, request: TranscribeRequest, target: Target) -> Transcript:
        try:
            return wire.read_transcript(body, request)
        except msgspec.DecodeError as exc:
            raise nonsense(target) from exc

    def _find(self, target: Target) -> Served:
        if not self._is_open:
            raise ProviderUnavailableError(
                f"{self._name} is not started.", provider=self._name, model=target.model
            )
        served = self._served.get(target.model)
        if served is None:
            raise rejected(target, f"has no model {target.model!r} configured")
        return served

    def _fit(self, request: TranscribeRequest, target: Target) -> Served:
        served = self._find(target)
        if request.word_timestamps and not served.has(Feature.WORD_TIMESTAMPS):
            raise rejected(target, f"gives no word times with {target.model}")
        if request.diarization and not served.has(Feature.DIARIZATION):
            raise rejected(target, f"tells no speakers apart with {target.model}")
        if request.task is Task.TRANSLATE and not served.has(Feature.TRANSLATION):
            raise rejected(target, f"does not translate with {target.model}")
        return served


async def _upload_of(clip: Clip, served: Served, target: Target) -> Upload:
    """Return the recording as it is, or re-encoded where the model does not take its type."""
    clip = await fitted(clip, served.card, target)
    extension = wire.EXTENSIONS.get(clip.media_type) or clip.media_type.rpartition("/")[2]
    return Upload(data=clip.data, filename=f"audio.{extension}", media_type=clip.media_type)


def _headers(settings: ProviderSettings) -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {settings.api_key.reveal()}" if settings.api_key else "",
        "OpenAI-Organization": settings.organization,
        "OpenAI-Project": settings.project,
    }
    return {name: value for name, value in headers.items() if value}
