"""
xAI: Grok's transcription of recordings and of live speech.

The facts are those of docs.x.ai (REST reference and speech-to-text guide, read in November 2026),
and of what others saw its API answer. It is not the OpenAI API: a form with the file as its last
part, flat errors, and a wrong key told as HTTP 400.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import ClassVar

from attrs import define, evolve, field
from msgspec import DecodeError, Struct, json

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderUnavailableError,
)
from junctor.core.hooks import hookimpl
from junctor.core.locales import match, standard
from junctor.core.net import RelayAnswer, Target, Upload, form_body
from junctor.core.plugins import plugin_settings
from junctor.core.requests import LiveRequest, Task, TranscribeRequest
from junctor.core.transcripts import (
    LiveEvent,
    LiveFinal,
    LivePartial,
    LiveReady,
    Transcript,
    Word,
)
from junctor.plugins.remote.live import conversation, greeting, rechunked
from junctor.plugins.remote.openai.languages import code_of
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

NAME = "xai"
_CHUNK = 0.1
"""Seconds of live audio in one message, as xAI advises."""
_APART = 0.05
"""Seconds by which times of the same word may differ from one message to the next."""

_CARD = ModelCard(
    provider=NAME,
    id="grok-voice-transcribe-2.0",
    capabilities=frozenset({Capability.TRANSCRIBE, Capability.LIVE_TRANSCRIBE}),
    summary="xAI's best transcription; Thai and Hindi, no other Indic language.",
    locales=tags("ar cs da de en es fa fil fr hi id it ja ko mk ms nl pl pt ro ru sv th tr vi"),
    features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE, Feature.DIARIZATION}),
    media_types=frozenset(f"audio/{kind}" for kind in ("aac", "flac", "mp4", "mpeg", "ogg", "wav")),
    max_bytes=500_000_000,
    quality=0.85,
    price=0.001667,
    latency=1.5,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)
CARDS: Sequence[ModelCard] = (
    _CARD,
    evolve(
        _CARD,
        id="grok-voice-transcribe-1.0",
        summary="xAI's first transcription, announced to be withdrawn.",
        quality=0.75,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
)
"""Prices in US dollars per minute of a recording, November 2026; live speech costs the double."""


class _Error(Struct):
    code: str = ""
    error: str = ""


class _Word(Struct):
    text: str
    start: float = 0.0
    end: float = 0.0
    confidence: float | None = None
    speaker: int | str | None = None


class _Answer(Struct):
    text: str
    language: str = ""
    words: list[_Word] | None = None


class _Message(Struct):
    type: str
    text: str = ""
    words: list[_Word] | None = None
    is_final: bool = False
    speech_final: bool = False
    start: float = 0.0
    duration: float = 0.0
    message: str = ""


class XAI(Vendor):
    """
    Transcribes recordings and live speech.

    Args:
        settings: its table.

    Raises:
        NotConfiguredError: no key.
        ConfigError: the key, a URL or a model's name cannot be used.

    """

    NAME: ClassVar[str] = NAME
    BASE_URL: ClassVar[str] = "https://api.x.ai/v1"
    STREAM_URL: ClassVar[str] = "wss://api.x.ai/v1/stt"

    def __init__(self, settings: VendorSettings) -> None:
        ready(settings, NAME)
        super().__init__(settings, CARDS)

    def headers(self) -> Mapping[str, str]:
        """Return the key as a bearer token."""
        return {"Authorization": f"Bearer {self._settings.api_key.reveal()}"}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; a wrong key comes as 400, used-up credits as 403 or 429."""
        try:
            told = json.decode(answer.body, type=_Error).error
        except (DecodeError, UnicodeDecodeError):
            told = ""
        return _told(told, target) or super().fault(target, answer)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down a recording; words come with their times whether asked for or not.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        if request.task is Task.TRANSLATE:
            raise rejected(target, "does not translate")
        language = _code(request.language, card, target)
        fields = [
            ("model", card.id),
            *([("language", language), ("format", "true")] if language else ()),
            *([("diarize", "true")] if request.diarization else ()),
        ]
        clip = await fitted(request.audio, card, target)
        name = f"audio.{clip.filename.rpartition('.')[2]}"  # its stem is the caller's
        upload = Upload(data=clip.data, filename=name, media_type=clip.media_type)
        body = await self.ask("POST", "/stt", target, body=form_body(fields, upload))
        answer = read(body, _Answer, target)
        found = code_of(answer.language)
        return Transcript(
            text=answer.text,
            language=(standard(found) if found else None) or request.language,
            words=_words(answer.words or ()),
        )

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        """
        Write down speech while it is spoken; a final is a whole utterance.

        Raises:
            ProviderError: it cannot go on; the subclass says why.

        """
        card, target = self.target(request.model)
        language = _code(request.language, card, target)
        query = [
            *(("model", card.id), ("encoding", "pcm"), ("sample_rate", "16000")),
            *(("interim_results", "true"), ("endpointing", "400")),
            *([("language", language)] if language else ()),
            *([("diarize", "true")] if request.diarization else ()),
        ]
        heard = _Heard(request.language)
        async with self.socket(target, query=query) as socket:
            if _message(await greeting(socket), target).type != "transcript.created":
                raise nonsense(target)
            yield LiveReady()
            talk = conversation(
                socket,
                rechunked(audio, seconds=_CHUNK),
                say=socket.send_bytes,
                finish=partial(socket.send_json, {"type": "audio.done"}),
            )
            async with aclosing(talk) as messages:
                async for message in messages:
                    if event := heard.next(_message(message, target)):
                        yield event
                    if heard.is_done:
                        return
        raise nonsense(target)


def _code(language: str | None, card: ModelCard, target: Target) -> str | None:
    if language is None:
        return None
    found = match(card.locales or (), language)
    if found is None:
        raise rejected(target, f"does not understand {language} with {card.id}")
    return found


def _told(text: str, target: Target) -> ProviderError | None:
    """Return our error for what xAI says where its status does not."""
    if text.startswith("Incorrect API key"):
        return ProviderAuthError(
            f"{NAME} refused our credentials; check its api_key.",
            provider=NAME,
            model=target.model,
        )
    if "credits" in text or "spending limit" in text:
        return ProviderQuotaError(
            f"{NAME} says our credits are used up; top it up.", provider=NAME, model=target.model
        )
    return None


def _words(words: Iterable[_Word]) -> tuple[Word, ...]:
    """Return the words; xAI leaves a confidence of 0 out."""
    words = list(words)
    none_given = 0.0 if any(one.confidence is not None for one in words) else None
    return tuple(
        Word(
            text=text,
            start=one.start,
            end=max(one.start, one.end),
            confidence=none_given if one.confidence is None else one.confidence,
            speaker=None if one.speaker is None else str(one.speaker),
        )
        for one in words
        if (text := one.text.strip())
    )


def _message(message: bytes, target: Target) -> _Message:
    found = read(message, _Message, target)
    if found.type == "error":
        raise _told(found.message, target) or ProviderUnavailableError(
            f"{NAME} gave up the conversation.", provider=NAME, model=target.model
        )
    return found


@define
class _Heard:
    """
    What a live conversation has given so far.

    xAI locks about three seconds at a time, and says the whole utterance again when it ends; at
    the very end it says everything again. What speaks of the same time is the same speech.
    """

    language: str | None
    is_done: bool = field(default=False, init=False)
    _locked: list[LiveFinal] = field(factory=list, init=False)
    """Stretches of the running utterance that will not change."""
    _end: float = field(default=0.0, init=False)
    """Seconds up to which finals have been given."""

    def next(self, message: _Message) -> LiveEvent | None:
        """Return the event that a message makes, if it makes one."""
        if message.type == "transcript.done":
            self.is_done = True
            self._lock(self._rest(message))
            return self._final()
        if message.type != "transcript.partial":
            return None
        words = _words(message.words or ())
        start = min([message.start, *(word.start for word in words)])
        part = self._part(message.text, start, message.start + message.duration, words)
        if not message.is_final:
            text = _joined([*self._before(part), part])
            return LivePartial(text=text, language=self.language) if text else None
        self._lock(part)
        return self._final() if message.speech_final else None

    def _part(self, text: str, start: float, end: float, words: Sequence[Word]) -> LiveFinal:
        return LiveFinal(
            text=text.strip(), start=start, end=end, words=tuple(words), language=self.language
        )

    def _rest(self, message: _Message) -> LiveFinal:
        """Return what the last message says beyond all that was locked before."""
        end = self._locked[-1].end if self._locked else self._end
        words = _words(message.words or ())
        if not end:
            return self._part(message.text, 0.0, message.duration, words)
        words = tuple(word for word in words if word.start >= end - _APART)
        last = max([end, *(word.end for word in words)])
        return self._part(" ".join(word.text for word in words), end, last, words)

    def _before(self, part: LiveFinal) -> list[LiveFinal]:
        return [one for one in self._locked if one.end <= part.start + _APART]

    def _lock(self, part: LiveFinal) -> None:
        if part.text:
            self._locked = [*self._before(part), part]

    def _final(self) -> LiveFinal | None:
        parts, self._locked = self._locked, []
        if not parts:
            return None
        self._end = parts[-1].end
        return LiveFinal(
            text=_joined(parts),
            start=parts[0].start,
            end=parts[-1].end,
            words=tuple(word for part in parts for word in part.words),
            language=self.language,
        )


def _joined(parts: Iterable[LiveFinal]) -> str:
    return " ".join(part.text for part in parts if part.text)


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[XAI]:
    """Return xAI, if its table has a key."""
    return [XAI(plugin_settings(settings, NAME, VendorSettings))]
