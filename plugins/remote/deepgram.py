"""
Deepgram: Nova for recordings and for live speech, Flux for live conversations.

The facts are those of its documentation (developers.deepgram.com) and of its published OpenAPI and
AsyncAPI documents of 2026-07-22, read in November 2026. Errors come as JSON of two shapes or as
plain text; the HTTP status alone tells them apart.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import ClassVar

from attrs import evolve
from msgspec import Struct

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.errors import ProviderUnavailableError
from junctor.core.hooks import hookimpl
from junctor.core.locales import match, standard
from junctor.core.net import Body, Socket, Target
from junctor.core.plugins import plugin_settings
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.transcripts import (
    LiveEvent,
    LiveFinal,
    LivePartial,
    LiveReady,
    Segment,
    Transcript,
    Word,
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
    tags,
)

NAME = "deepgram"
KEEP_ALIVE_AFTER = 4.0
"""Seconds without audio after which Deepgram is told that more will come; it hangs up after 10."""
_FLUX_CHUNK = 0.08

_DETECTED = tags(
    "bg ca cs da de de-CH el en es et fi fr hi hu id it ja ko lt lv ms nl nl-BE no pl pt ro ru sk "
    "sv th tr uk vi zh"
)
"""What `detect_language` tells apart."""
_NOVA_2 = _DETECTED | tags(
    "da-DK en-AU en-GB en-IN en-NZ en-US es-419 fr-CA ko-KR pt-BR pt-PT sv-SE th-TH zh-CN zh-HK "
    "zh-Hans zh-Hant zh-TW"
)
_NOVA_3 = _NOVA_2 | tags("be bn bs fa gu gu-IN he hr kn mk mr sl sr ta te tl ur")
_FLUX = tags("de en es fr hi it ja nl pt ru")
_ENGLISH = tags("en en-AU en-CA en-GB en-IE en-IN en-NZ en-US")

_BOTH = frozenset({Capability.TRANSCRIBE, Capability.LIVE_TRANSCRIBE})
_NOVA_FEATURES = frozenset(
    {
        Feature.WORD_TIMESTAMPS,
        Feature.SEGMENT_TIMESTAMPS,
        Feature.AUTO_LANGUAGE,
        Feature.DIARIZATION,
    }
)
_NOVA = ModelCard(
    provider=NAME,
    id="nova-3",
    capabilities=_BOTH,
    summary="Deepgram Nova-3, its best for recordings and live speech; Thai and eight Indic languages.",
    locales=_NOVA_3,
    features=_NOVA_FEATURES,
    media_types=frozenset(
        f"audio/{kind}" for kind in ("aac", "flac", "mp4", "mpeg", "ogg", "wav", "webm")
    ),
    max_bytes=2_000_000_000,
    quality=0.9,
    price=0.0077,
    latency=1.5,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)
_FLUX_CARD = evolve(
    _NOVA,
    id="flux-general-en",
    capabilities=frozenset({Capability.LIVE_TRANSCRIBE}),
    summary="Deepgram Flux, live English with turn detection.",
    locales=frozenset({"en"}),
    features=frozenset({Feature.WORD_TIMESTAMPS}),
    price=0.0065,
    latency=0.5,
)
CARDS: Sequence[ModelCard] = (
    _NOVA,
    evolve(
        _NOVA,
        id="nova-3-medical",
        summary="Deepgram Nova-3 for medical English.",
        locales=_ENGLISH,
        features=_NOVA_FEATURES - {Feature.AUTO_LANGUAGE},
        quality=0.85,
    ),
    evolve(
        _NOVA,
        id="nova-2",
        summary="Deepgram Nova-2, the generation before; Thai and Hindi.",
        locales=_NOVA_2,
        quality=0.8,
        price=0.0058,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    *(
        evolve(
            _NOVA,
            id=id_,
            summary=f"Deepgram {id_.title()}, an old model, here for English only.",
            locales=frozenset({"en", "en-US"}),
            features=_NOVA_FEATURES - {Feature.AUTO_LANGUAGE},
            quality=quality,
            price=price,
            tiers=frozenset({Tier.LOW}),
        )
        for id_, quality, price in (
            ("nova", 0.7, 0.0058),
            ("enhanced", 0.6, 0.0165),
            ("base", 0.5, 0.0145),
        )
    ),
    _FLUX_CARD,
    evolve(
        _FLUX_CARD,
        id="flux-general-multi",
        summary="Deepgram Flux, live speech in ten languages, Hindi among them, with turn detection.",
        locales=_FLUX,
        features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE}),
        price=0.0078,
    ),
)
"""Prices in US dollars per minute, November 2026; of two published ones the higher."""


class _Word(Struct):
    word: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    punctuated_word: str | None = None
    speaker: int | None = None


class _Alternative(Struct):
    transcript: str = ""
    confidence: float | None = None
    words: list[_Word] = []
    languages: list[str] = []


class _Channel(Struct):
    alternatives: list[_Alternative] = []
    detected_language: str | None = None
    language_confidence: float | None = None


class _Utterance(Struct):
    start: float
    end: float
    transcript: str
    words: list[_Word] = []
    speaker: int | None = None


class _Results(Struct):
    channels: list[_Channel]
    utterances: list[_Utterance] = []


class _Answer(Struct):
    results: _Results


class _Kind(Struct):
    type: str = ""


class _Heard(Struct):
    """A `Results` message of Nova."""

    channel: _Channel
    start: float = 0.0
    duration: float = 0.0
    is_final: bool = False


class _Turn(Struct):
    """A `TurnInfo` message of Flux."""

    event: str
    transcript: str = ""
    audio_window_start: float = 0.0
    audio_window_end: float = 0.0
    words: list[_Word] = []
    languages: list[str] = []


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
            *_language(request, card, target),
            *_extras(diarization=request.diarization),
            *([("utterances", "true")] if request.segment_timestamps else ()),
        ]
        clip = await fitted(request.audio, card, target)
        body = Body(parts=(clip.data,), content_type=clip.media_type)
        answer = await self.ask("POST", "/v1/listen", target, query=query, body=body)
        return _transcript(read(answer, _Answer, target), request, target)

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
            *(("model", card.id), *_live_language(request, card, target), *_RAW),
            ("channels", "1"),
            ("interim_results", "true"),
            ("endpointing", "300"),
            *_extras(diarization=request.diarization),
        ]
        async with (
            self.socket(target, query=query, path="/v1/listen") as socket,
            aclosing(never_silent(audio, seconds=KEEP_ALIVE_AFTER)) as chunks,
            aclosing(_messages(socket, chunks)) as messages,
        ):
            yield LiveReady()
            async for kind, message in messages:
                event = _heard(message, request, target) if kind == "Results" else None
                if event is not None:
                    yield event

    async def _flux(
        self, request: LiveRequest, audio: AsyncIterator[bytes], *, card: ModelCard, target: Target
    ) -> AsyncGenerator[LiveEvent, None]:
        query = [("model", card.id), *_hints(request, card, target), *_RAW]
        open_turn: _Turn | None = None
        async with self.socket(target, query=query, path="/v2/listen") as socket:
            if _kind(await greeting(socket), target) != "Connected":
                raise nonsense(target)
            yield LiveReady()
            async with aclosing(_messages(socket, rechunked(audio, seconds=_FLUX_CHUNK))) as all_:
                async for kind, message in all_:
                    if kind != "TurnInfo":
                        continue
                    turn = read(message, _Turn, target)
                    open_turn = None if turn.event == "EndOfTurn" else turn
                    if turn.transcript.strip():
                        yield _turned(turn, request, is_over=open_turn is None)
        if open_turn is not None and open_turn.transcript.strip():
            yield _turned(open_turn, request, is_over=True)


_RAW = (("encoding", "linear16"), ("sample_rate", "16000"))


def _extras(*, diarization: bool) -> list[tuple[str, str]]:
    speakers = [("diarize_model", "latest")] if diarization else []
    return [("smart_format", "true"), *speakers]


def _given(language: str, card: ModelCard, target: Target) -> str:
    if card.locales is None:
        return language
    found = match(card.locales, language)
    if found is None:
        raise rejected(target, f"does not understand {language} with {card.id}")
    return found


def _language(request: TranscribeRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    """
    Return how the language is told or asked for.

    Detection names one of 35 languages and its probability; what else may be spoken needs the
    multilingual model, which tells the languages it heard.
    """
    if request.language is not None:
        return [("language", _given(request.language, card, target))]
    if Feature.AUTO_LANGUAGE not in card.features:
        raise rejected(target, f"cannot tell the language with {card.id}")
    wanted = [match(_DETECTED, tag) for tag in request.allowed_languages]
    if None in wanted and card.id == "nova-3":
        return [("language", "multi")]
    known = dict.fromkeys(tag for tag in wanted if tag is not None)
    return [("detect_language", tag) for tag in known] or [("detect_language", "true")]


def _live_language(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    if request.language is not None:
        return [("language", _given(request.language, card, target))]
    if card.id != "nova-3":
        raise rejected(target, f"cannot tell the language of live speech with {card.id}")
    return [("language", "multi")]


def _hints(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    if request.language is not None:
        hints = [_given(request.language, card, target)]
    else:
        hints = [tag for one in request.allowed_languages if (tag := match(_FLUX, one))]
    if Feature.AUTO_LANGUAGE not in card.features:
        if request.language is None:
            raise rejected(target, f"cannot tell the language with {card.id}")
        return []
    return [("language_hint", tag) for tag in dict.fromkeys(hints)]


def _words(words: Sequence[_Word]) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=text,
            start=one.start,
            end=one.end,
            confidence=one.confidence,
            speaker=None if one.speaker is None else str(one.speaker),
        )
        for one in words
        if one.start is not None and one.end is not None
        if (text := (one.punctuated_word or one.word).strip())
    )


def _first_language(heard: Sequence[str], asked: str | None) -> str | None:
    return (standard(heard[0]) if heard else None) or asked


def _transcript(answer: _Answer, request: TranscribeRequest, target: Target) -> Transcript:
    if not answer.results.channels:
        raise nonsense(target)
    channel = answer.results.channels[0]
    best = channel.alternatives[0] if channel.alternatives else _Alternative()
    detected = [channel.detected_language] if channel.detected_language else best.languages
    return Transcript(
        text=best.transcript,
        language=_first_language(detected, request.language),
        language_confidence=channel.language_confidence,
        confidence=best.confidence,
        segments=tuple(
            Segment(
                text=one.transcript,
                start=one.start,
                end=one.end,
                words=_words(one.words),
                speaker=None if one.speaker is None else str(one.speaker),
            )
            for one in answer.results.utterances
        ),
        words=_words(best.words),
    )


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
                yield _kind(message, socket.target), message
    except ProviderUnavailableError as exc:
        if "DATA-0000" in socket.close_reason:
            raise rejected(socket.target, "cannot decode the audio") from exc
        raise


def _kind(message: bytes, target: Target) -> str:
    kind = read(message, _Kind, target).type
    if kind == "Error":
        raise ProviderUnavailableError(
            f"{NAME} gave up the conversation.", provider=NAME, model=target.model
        )
    return kind


def _heard(message: bytes, request: LiveRequest, target: Target) -> LiveEvent | None:
    heard = read(message, _Heard, target)
    best = heard.channel.alternatives[0] if heard.channel.alternatives else _Alternative()
    if not best.transcript.strip():
        return None
    language = _first_language(best.languages, request.language)
    if not heard.is_final:
        return LivePartial(text=best.transcript, language=language)
    return LiveFinal(
        text=best.transcript,
        start=heard.start,
        end=heard.start + heard.duration,
        words=_words(best.words),
        language=language,
        confidence=best.confidence,
    )


def _turned(turn: _Turn, request: LiveRequest, *, is_over: bool) -> LiveEvent:
    language = _first_language(turn.languages, request.language)
    if not is_over:
        return LivePartial(text=turn.transcript, language=language)
    return LiveFinal(
        text=turn.transcript,
        start=turn.audio_window_start,
        end=turn.audio_window_end,
        words=_words(turn.words),
        language=language,
    )


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Deepgram]:
    """Return Deepgram, if its table has a key."""
    return [Deepgram(plugin_settings(settings, NAME, VendorSettings))]
