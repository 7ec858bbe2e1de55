"""
Azure Speech: fast transcription, LLM speech and the MAI models, over one multipart request.

From the REST definition of api-version 2025-10-15 (Azure/azure-rest-api-specs, Speech.Transcription)
and Microsoft's pages on fast transcription, LLM speech, MAI-Transcribe and language support, 2026.
Live speech is open to Microsoft's own SDK only, so there is none here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

import msgspec
from attrs import evolve
from msgspec import Meta, Struct

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.errors import ConfigError, ProviderError, ProviderQuotaError
from junctor.core.hooks import hookimpl
from junctor.core.locales import match, standard
from junctor.core.net import RelayAnswer, Target, Upload, form_body
from junctor.core.plugins import plugin_settings
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.transcripts import Segment, Transcript, Word
from junctor.plugins.remote.vendor import (
    Vendor,
    VendorSettings,
    fitted,
    read,
    ready,
    rejected,
    tags,
)

NAME = "azure"
API_VERSION = "2025-10-15"
FAST = "fast-transcription"
LLM = "llm-speech"
MAI_1_5 = "MAI-Transcribe-1.5"
MAI_2 = "MAI-Transcribe-2"
MOST_PROMPT = 4096
"""Characters of a prompt that are taken."""

_FAST_LOCALES = tags("""
    af-ZA am-ET ar-AE ar-BH ar-EG ar-IL ar-IQ ar-JO ar-KW ar-LB ar-LY ar-OM ar-PS ar-QA ar-SA ar-SY
    az-AZ bg-BG bn-IN ca-ES cs-CZ cy-GB da-DK de-AT de-CH de-DE en-AU en-CA en-GB en-GH en-HK en-IE
    en-IN en-KE en-NG en-NZ en-PH en-SG en-TZ en-US en-ZA es-AR es-BO es-CL es-CO es-CR es-CU es-DO
    es-EC es-ES es-GQ es-GT es-HN es-MX es-NI es-PA es-PE es-PR es-PY es-SV es-US es-UY es-VE et-EE
    eu-ES fa-IR fi-FI fil-PH fr-FR ga-IE gl-ES he-IL hi-IN hr-HR hu-HU hy-AM id-ID is-IS it-IT ja-JP
    jv-ID ka-GE kk-KZ ko-KR lo-LA lt-LT lv-LV mk-MK ml-IN mn-MN mr-IN ms-MY mt-MT my-MM nb-NO nl-NL
    pl-PL ps-AF pt-BR pt-PT ro-RO ru-RU sk-SK sl-SI so-SO sq-AL sr-RS sv-SE sw-KE ta-IN te-IN th-TH
    tr-TR uk-UA ur-IN uz-UZ vi-VN zh-CN zh-HK zh-TW zu-ZA
""")
_LLM_LOCALES = tags("de en es fr it ja ko pt zh")
_MAI_LOCALES = tags("""
    ar as bg bn ca cs da de el en es et fi fr gu hi hu id it ja kn ko lt ml mr nb nl or pa pl pt ro
    ru sk sl sv th tr vi zh
""")
_ANY_AUDIO = frozenset(
    {"audio/aac", "audio/amr", "audio/flac", "audio/mpeg", "audio/ogg", "audio/wav", "audio/webm"}
)
_TIMED = frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS, Feature.DIARIZATION})
_ENHANCED: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        LLM: {"enabled": True, "task": "transcribe"},
        MAI_1_5: {"enabled": True, "model": MAI_1_5},
        MAI_2: {"enabled": True, "model": MAI_2},
    }
)
"""What `enhancedMode` is for each model that needs it."""

_FAST_CARD = ModelCard(
    provider=NAME,
    id=FAST,
    capabilities=frozenset({Capability.TRANSCRIBE}),
    summary="Azure fast transcription: word times and speakers in 121 locales; batch only.",
    locales=_FAST_LOCALES,
    features=_TIMED | {Feature.AUTO_LANGUAGE},
    media_types=_ANY_AUDIO,
    max_bytes=250_000_000,
    max_seconds=7200.0,
    quality=0.78,
    price=0.011,
    latency=2.0,
    tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
)
_MAI_CARD = evolve(
    _FAST_CARD,
    id=MAI_1_5,
    summary="Microsoft MAI-Transcribe 1.5 (preview): text only, no times; batch only.",
    locales=_MAI_LOCALES,
    features=frozenset({Feature.AUTO_LANGUAGE}),
    media_types=frozenset({"audio/flac", "audio/mpeg", "audio/wav"}),
    quality=0.87,
    price=0.006,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)
CARDS = (
    _FAST_CARD,
    evolve(
        _FAST_CARD,
        id=LLM,
        summary="Azure LLM speech (preview): finds the language itself, takes a prompt, translates.",
        locales=_LLM_LOCALES,
        features=_TIMED | {Feature.AUTO_LANGUAGE, Feature.PROMPT, Feature.TRANSLATION},
        quality=0.84,
        latency=3.0,
        tiers=frozenset({Tier.MEDIUM}),
    ),
    _MAI_CARD,
    evolve(
        _MAI_CARD,
        id=MAI_2,
        summary="Microsoft MAI-Transcribe 2 (preview): words and, below 15 minutes, speakers.",
        features=_TIMED | {Feature.AUTO_LANGUAGE},
        quality=0.93,
        price=0.0017,
    ),
)
"""Prices in US dollars per minute, November 2026; third parties' tables."""


class AzureSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.azure]`."""

    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")] = ""
    """The Speech resource's region (`centralindia`); it makes the address, unless `base_url` does."""


class _Word(Struct, rename="camel"):
    text: str = ""
    offset_milliseconds: int = 0
    duration_milliseconds: int = 0


class _Phrase(Struct, rename="camel"):
    text: str = ""
    offset_milliseconds: int = 0
    duration_milliseconds: int = 0
    words: list[_Word] | None = None
    speaker: int | str | None = None
    locale: str | None = None
    confidence: float | None = None


class _Combined(Struct):
    text: str = ""


class _Answer(Struct, rename="camel"):
    combined_phrases: list[_Combined]
    phrases: list[_Phrase] | None = None


class _Fault(Struct):
    code: str = ""
    message: str = ""
    error: "_Fault | None" = None


class Azure(Vendor):
    """Transcribes by Azure Speech; settings and errors as in `Vendor`."""

    NAME = NAME
    BASE_URL = "https://api.cognitive.microsoft.com"  # behind the region's name

    def __init__(self, settings: AzureSettings) -> None:
        if not settings.base_url and not settings.region:
            raise ConfigError(
                "Set the Speech resource's region, or base_url.", key=f"plugins.{NAME}.region"
            )
        url = settings.base_url or self.BASE_URL.replace("//", f"//{settings.region}.")
        super().__init__(msgspec.structs.replace(settings, base_url=url), CARDS)

    def headers(self) -> Mapping[str, str]:
        """Return the resource's key."""
        return {"Ocp-Apim-Subscription-Key": self._settings.api_key.reveal()}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; a 403 may mean that the free volume is used up."""
        fault = _fault(answer.body)
        if "call volume quota" in fault.message.lower():
            return ProviderQuotaError(
                f"{NAME} says that our volume is used up; raise the resource's tier "
                f"(HTTP {answer.status}).",
                provider=target.provider,
                model=target.model,
            )
        if fault.code == "diarization_unavailable":
            return rejected(target, "tells no speakers apart in a recording of this length")
        return super().fault(target, answer)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down, or translate to English, with the model that `request.model` names.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        definition = msgspec.json.encode(_definition(request, card, target)).decode()
        clip = await fitted(request.audio, card, target)
        upload = Upload(
            data=clip.data,
            filename=f"audio.{clip.media_type.rpartition('/')[2]}",
            media_type=clip.media_type,
            field="audio",
        )
        body = await self.ask(
            "POST",
            "/speechtotext/transcriptions:transcribe",
            target,
            query=[("api-version", API_VERSION)],
            body=form_body([("definition", definition)], upload),
        )
        return _transcript(read(body, _Answer, target), request)


def _definition(request: TranscribeRequest, card: ModelCard, target: Target) -> dict[str, object]:
    definition: dict[str, object] = {}
    if locales := _locales(request, card, target):
        definition["locales"] = locales
    if request.diarization and Feature.DIARIZATION in card.features:
        definition["diarization"] = {"enabled": True}
    if "model" not in _ENHANCED.get(card.id, {}):
        definition["profanityFilterMode"] = "None"  # by default it puts stars into words
    if card.id in _ENHANCED:
        definition["enhancedMode"] = _enhanced(request, card)
    return definition


def _locales(request: TranscribeRequest, card: ModelCard, target: Target) -> list[str]:
    """Return the languages to name; the LLM takes none, MAI one, fast transcription chooses."""
    if request.task is Task.TRANSLATE and Feature.TRANSLATION not in card.features:
        raise rejected(target, f"does not translate with {card.id}")
    asked = [request.language] if request.language else list(request.allowed_languages)
    found = [match(card.locales, one) if card.locales is not None else one for one in asked]
    known = list(dict.fromkeys(one for one in found if one))
    if request.language and not known:
        raise rejected(target, f"does not know the language {request.language} with {card.id}")
    if card.id == LLM or (card.id in _ENHANCED and len(known) > 1):
        return []
    return known


def _enhanced(request: TranscribeRequest, card: ModelCard) -> dict[str, object]:
    mode = dict(_ENHANCED[card.id])
    if request.task is Task.TRANSLATE:
        mode |= {"task": "translate", "targetLanguage": "en"}
    if request.prompt and Feature.PROMPT in card.features:
        mode["prompt"] = [request.prompt[:MOST_PROMPT]]
    if card.id == MAI_2 and (request.word_timestamps or request.segment_timestamps):
        mode["modelOptions"] = {"timestamps": "word" if request.word_timestamps else "segment"}
    return mode


def _transcript(answer: _Answer, request: TranscribeRequest) -> Transcript:
    phrases = answer.phrases or []
    segments = tuple(_segment(one) for one in phrases if one.duration_milliseconds)
    return Transcript(
        text=" ".join(one.text.strip() for one in answer.combined_phrases).strip(),
        language=request.language or _language(phrases),
        confidence=_confidence(phrases),
        segments=segments,
        words=tuple(word for segment in segments for word in segment.words),
    )


def _segment(phrase: _Phrase) -> Segment:
    start = phrase.offset_milliseconds / 1000
    speaker = None if phrase.speaker is None else str(phrase.speaker)
    words = (
        Word(
            text=word.text.strip(),
            start=word.offset_milliseconds / 1000,
            end=(word.offset_milliseconds + word.duration_milliseconds) / 1000,
            speaker=speaker,
        )
        for word in phrase.words or ()
    )
    return Segment(
        text=phrase.text.strip(),
        start=start,
        end=(phrase.offset_milliseconds + phrase.duration_milliseconds) / 1000,
        words=tuple(word for word in words if word.text),
        speaker=speaker,
    )


def _language(phrases: Sequence[_Phrase]) -> str | None:
    """Return the language that is spoken longest."""
    spoken: Counter[str] = Counter()
    for one in phrases:
        if one.locale and (tag := standard(one.locale)):
            spoken[tag] += max(1, one.duration_milliseconds)
    return spoken.most_common(1)[0][0] if spoken else None


def _confidence(phrases: Sequence[_Phrase]) -> float | None:
    """Return the mean over the time spoken; enhanced mode says 0 of every phrase and knows none."""
    weighed = [(one.confidence or 0.0, one.duration_milliseconds) for one in phrases]
    total = sum(weight for _, weight in weighed)
    mean = sum(value * weight for value, weight in weighed) / total if total else 0.0
    return min(mean, 1.0) or None


def _fault(body: bytes) -> _Fault:
    """Return what an error says, in any of its shapes; empty where it says nothing."""
    try:
        fault = msgspec.json.decode(body, type=_Fault)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Fault()
    return fault.error or fault


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Azure]:
    """Return the provider, where there is a key."""
    table = plugin_settings(settings, NAME, AzureSettings)
    ready(table, NAME)
    return [Azure(table)]
