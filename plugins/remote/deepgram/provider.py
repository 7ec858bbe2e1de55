"""Deepgram as a provider."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import ClassVar

from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import ProviderUnavailableError
from junctor.core.net import Body, Socket, Target
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.transcripts import LiveEvent, LiveReady, Transcript
from junctor.plugins.remote.deepgram.cards import CARDS, NAME
from junctor.plugins.remote.deepgram.query import RAW, extras, hints_of, language_of, live_language
from junctor.plugins.remote.deepgram.wire import (
    Answer,
    Turn,
    heard,
    kind_of,
    transcript_of,
    turned,
)
from junctor.plugins.remote.live import conversation, greeting, never_silent, rechunked
from junctor.plugins.remote.vendor import (
    Vendor,
    VendorSettings,
    fitted,
    nonsense,
    read,
    ready,
    rejected,
)

_FLUX_CHUNK = 0.08


class Deepgram(Vendor):
    """
    Transcribes recordings and live speech.

    Args:
        settings: its table.

    Raises:
        NotConfiguredError: no key.
        ConfigError: the key, a URL or a model's name cannot be used.

    """

    NAME: ClassVar[str] = NAME
    BASE_URL: ClassVar[str] = "https://api.deepgram.com"
    STREAM_URL: ClassVar[str] = "wss://api.deepgram.com"
    KEEP_ALIVE_AFTER: ClassVar[float] = 4.0
    """Seconds without audio after which Nova is told that more will come; it hangs up after 10."""

    def __init__(self, settings: VendorSettings) -> None:
        ready(settings, NAME)
        super().__init__(settings, CARDS)

    def headers(self) -> Mapping[str, str]:
        """Return the key as Deepgram wants it."""
        return {"Authorization": f"Token {self._settings.api_key.reveal()}"}

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down a recording; words come with their times whether asked for or not.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        if Capability.TRANSCRIBE not in card.capabilities:
            raise rejected(target, f"takes live speech only with {card.id}")
        if request.task is Task.TRANSLATE:
            raise rejected(target, "does not translate")
        query = [
            ("model", card.id),
            *language_of(request, card, target),
            *extras(diarization=request.diarization),
            *([("utterances", "true")] if request.segment_timestamps else ()),
        ]
        clip = await fitted(request.audio, card, target)
        body = Body(parts=(clip.data,), content_type=clip.media_type)
        answer = await self.ask("POST", "/v1/listen", target, query=query, body=body)
        return transcript_of(read(answer, Answer, target), request, target)

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        card, target = self.target(request.model)
        speak = self._flux if card.id.startswith("flux-") else self._nova
        async with aclosing(speak(request, audio, card=card, target=target)) as events:
            async for event in events:
                yield event

    async def _nova(
        self, request: LiveRequest, audio: AsyncIterator[bytes], *, card: ModelCard, target: Target
    ) -> AsyncGenerator[LiveEvent, None]:
        query = [
            *(("model", card.id), *live_language(request, card, target), *RAW),
            ("channels", "1"),
            ("interim_results", "true"),
            ("endpointing", "300"),
            *extras(diarization=request.diarization),
        ]
        async with (
            self.socket(target, query=query, path="/v1/listen") as socket,
            aclosing(never_silent(audio, seconds=self.KEEP_ALIVE_AFTER)) as chunks,
            aclosing(_messages(socket, chunks)) as messages,
        ):
            yield LiveReady()
            async for kind, message in messages:
                event = heard(message, request, target) if kind == "Results" else None
                if event is not None:
                    yield event

    async def _flux(
        self, request: LiveRequest, audio: AsyncIterator[bytes], *, card: ModelCard, target: Target
    ) -> AsyncGenerator[LiveEvent, None]:
        query = [("model", card.id), *hints_of(request, card, target), *RAW]
        open_turn: Turn | None = None
        async with self.socket(target, query=query, path="/v2/listen") as socket:
            if kind_of(await greeting(socket), target) != "Connected":
                raise nonsense(target)
            yield LiveReady()
            async with aclosing(_messages(socket, rechunked(audio, seconds=_FLUX_CHUNK))) as all_:
                async for kind, message in all_:
                    if kind != "TurnInfo":
                        continue
                    turn = read(message, Turn, target)
                    open_turn = None if turn.event == "EndOfTurn" else turn
                    if turn.transcript.strip():
                        yield turned(turn, request, is_over=open_turn is None)
        if open_turn is not None and open_turn.transcript.strip():
            yield turned(open_turn, request, is_over=True)


async def _say(socket: Socket, chunk: bytes) -> None:
    if chunk:
        await socket.send_bytes(chunk)
    else:
        await socket.send_json({"type": "KeepAlive"})


async def _messages(
    socket: Socket, audio: AsyncIterator[bytes]
) -> AsyncGenerator[tuple[str, bytes], None]:
    """Yield each message after its type; an error that Deepgram tells is raised."""
    talk = conversation(
        socket,
        audio,
        say=partial(_say, socket),
        finish=partial(socket.send_json, {"type": "CloseStream"}),
    )
    try:
        async with aclosing(talk) as messages:
            async for message in messages:
                yield kind_of(message, socket.target), message
    except ProviderUnavailableError as exc:
        if "DATA-0000" in socket.close_reason:
            raise rejected(socket.target, "cannot decode the audio") from exc
        raise
