"""Google's models as data, and how it writes languages."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import evolve

from junctor.core.cards import CHAT_FEATURES, Capability, Feature, ModelCard, Tier
from junctor.core.locales import match, standard
from junctor.core.net import Target
from junctor.core.requests import TranscribeRequest
from junctor.plugins.remote.google.settings import NAME
from junctor.plugins.remote.vendor import rejected, tags

CHIRP_3 = "chirp_3"
CHIRP_2 = "chirp_2"
LONG = "long"
SHORT = "short"
GEMINI_TRANSCRIBE = "gemini-3.5-transcribe"

_CHIRP_3_LOCALES = tags("""
    af-ZA am-ET ar-AE ar-BH ar-DZ ar-EG ar-IL ar-IQ ar-JO ar-KW ar-LB ar-MA ar-MR ar-OM ar-PS ar-QA
    ar-SA ar-SY ar-TN ar-XA ar-YE as-IN ast-ES az-AZ bg-BG bn-BD bn-IN ca-ES cs-CZ cy-GB da-DK de-DE
    el-GR en-AU en-GB en-IN en-PH en-US es-ES es-MX es-US et-EE eu-ES fa-IR fi-FI fil-PH fr-CA fr-FR
    gl-ES gu-IN ha-NG he-IL hi-IN hr-HR hu-HU hy-AM id-ID is-IS it-IT ja-JP jv-ID ka-GE kk-KZ km-KH
    kn-IN ko-KR ky-KG lb-LU lo-LA lt-LT lv-LV mi-NZ mk-MK ml-IN mn-MN mr-IN ms-MY mt-MT my-MM nb-NO
    ne-NP nl-NL nso-ZA or-IN pa-Guru-IN pl-PL pt-BR pt-PT ro-RO ru-RU sk-SK sl-SI sq-AL sr-RS sv-SE
    sw sw-KE ta-IN te-IN th-TH tr-TR uk-UA uz-UZ vi-VN wo-SN xh-ZA yo-NG yue-Hant-HK zh-CN zh-TW
    zu-ZA
""")
_CHIRP_2_LOCALES = tags("""
    af-ZA am-ET ar-EG as-IN ast-ES az-AZ be-BY bg-BG bs-BA ca-ES ceb-PH ckb-IQ cs-CZ cy-GB da-DK
    de-DE el-GR en-AU en-GB en-IN en-US es-ES es-US et-EE eu-ES fa-IR fi-FI fil-PH fr-CA fr-FR gl-ES
    gu-IN ha-NG he-IL hi-IN hr-HR hu-HU hy-AM id-ID is-IS it-IT ja-JP jv-ID ka-GE kam-KE kea-CV
    kk-KZ km-KH kn-IN ko-KR ky-KG lb-LU ln-CD lo-LA lt-LT luo-KE lv-LV mi-NZ mk-MK ml-IN mn-MN mr-IN
    ms-MY mt-MT my-MM ne-NP nl-NL nso-ZA ny-MW oc-FR pa-Guru-IN pl-PL ps-AF pt-BR ro-RO ru-RU sd-IN
    si-LK sk-SK sl-SI sn-ZW so-SO sq-AL sr-RS su-ID sv-SE sw ta-IN te-IN tg-TJ th-TH tr-TR uk-UA
    ur-PK uz-UZ vi-VN wo-SN yo-NG yue-Hant-HK zh-CN zh-TW zu-ZA
""")
_OLD_LOCALES = tags("de-DE en-AU en-GB en-IN en-US es-ES es-US fr-FR hi-IN it-IT ja-JP ko-KR pt-BR")
_GEMINI_LOCALES = tags("""
    af-ZA am-ET ar-EG as-IN az-AZ be-BY bg-BG bn-BD bn-IN bs-BA ca-ES ceb cs-CZ da-DK de-DE el-GR
    en-GB en-IN en-US es-419 es-US et-EE fa-IR fi-FI fil-PH fr-FR gl-ES gu-IN ha-NG he-IL hi-IN
    hr-HR hu-HU hy-AM id-ID is-IS it-IT ja-JP jv-ID ka-GE kea-CV kk-KZ km-KH kn-IN ko-KR ky-KG ln-CD
    lt-LT lv-LV mk-MK ml-IN mn-MN mr-IN ms-MY mt-MT my-MM nb-NO ne-NP nl-NL or-IN pa-Guru-IN pa-IN
    pl-PL pt-BR pt-PT ro-RO ru-RU rup-BG sd-Arab-IN sk-SK sl-SI sr-RS sv-SE sw-KE te-IN tg-TJ th-TH
    tr-TR uk-UA uz-UZ vi-VN yue-Hant-HK zh-CN
""")
_TIMED = frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS})

_SPEECH = ModelCard(
    provider=NAME,
    id=CHIRP_3,
    capabilities=frozenset({Capability.TRANSCRIBE}),
    summary="Google Chirp 3, recordings up to a minute; word times cost it some accuracy.",
    locales=_CHIRP_3_LOCALES,
    features=_TIMED | {Feature.AUTO_LANGUAGE, Feature.PROMPT},
    media_types=frozenset(
        {"audio/amr", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav"}
        | {"audio/webm", "video/quicktime"}
    ),
    max_bytes=7_500_000,
    max_seconds=60.0,
    quality=0.88,
    price=0.016,
    latency=2.5,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)
_OLD = evolve(
    _SPEECH,
    id=LONG,
    summary="Google's older model for conversations, recordings up to a minute; legacy.",
    locales=_OLD_LOCALES,
    features=_TIMED,
    quality=0.7,
    latency=1.5,
    tiers=frozenset({Tier.LOW}),
)
SPEECH_CARDS = (
    _SPEECH,
    evolve(
        _SPEECH,
        id=CHIRP_2,
        summary="Google Chirp 2, recordings up to a minute, with word times.",
        locales=_CHIRP_2_LOCALES,
        features=_TIMED | {Feature.AUTO_LANGUAGE},
        quality=0.82,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    _OLD,
    evolve(
        _OLD,
        id=SHORT,
        summary="Google's older model for commands of a few seconds; legacy.",
        quality=0.65,
        latency=1.0,
    ),
)
LOCATIONS: Mapping[str, str] = MappingProxyType(
    {CHIRP_3: "us", CHIRP_2: "us-central1", LONG: "global", SHORT: "global"}
)
"""Where each model of Speech-to-Text is asked unless the table says it."""

_GEMINI = ModelCard(
    provider=NAME,
    id=GEMINI_TRANSCRIBE,
    capabilities=frozenset({Capability.TRANSCRIBE}),
    summary="Gemini 3.5 Transcribe: word times and up to 8 speakers, half an hour with either.",
    locales=_GEMINI_LOCALES,
    features=_TIMED | {Feature.AUTO_LANGUAGE, Feature.DIARIZATION},
    media_types=frozenset(
        {"audio/aac", "audio/aiff", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg"}
        | {"audio/wav", "audio/webm"}
    ),
    max_bytes=14_000_000,
    max_seconds=3600.0,
    quality=0.92,
    price=0.0051,
    latency=4.0,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)
_CHATS = CHAT_FEATURES - {Feature.LOGPROBS}
_FLASH = evolve(
    _GEMINI,
    id="gemini-3.8-flash",
    capabilities=frozenset({Capability.TRANSCRIBE, Capability.CHAT}),
    summary="Gemini 3.8 Flash chats, and transcribes where it is told to; text alone, no times.",
    features=_CHATS | {Feature.AUTO_LANGUAGE, Feature.PROMPT},
    quality=0.84,
    price=0.004,
    prompt_price=0.75,
    output_price=3.75,
    context_tokens=1_048_576,
    max_output_tokens=65_536,
    tiers=frozenset({Tier.MEDIUM}),
)
GEMINI_CARDS = (
    _GEMINI,
    _FLASH,
    evolve(
        _FLASH,
        id="gemini-3.5-flash",
        summary="Gemini 3.5 Flash chats, and transcribes where it is told to; text alone, no times.",
        quality=0.82,
        prompt_price=1.5,
        output_price=9.0,
    ),
    evolve(
        _FLASH,
        id="gemini-3.1-flash-lite",
        summary="Gemini 3.1 Flash-Lite chats cheaply, and transcribes; text alone, no times.",
        quality=0.74,
        price=0.001,
        prompt_price=0.25,
        output_price=1.5,
        latency=3.0,
        tiers=frozenset({Tier.LOW}),
    ),
    ModelCard(
        provider=NAME,
        id="gemini-3.1-pro-preview",
        capabilities=frozenset({Capability.CHAT}),
        summary="Gemini 3.1 Pro, a preview, for hard questions; chats only.",
        features=_CHATS,
        quality=0.9,
        price=2.0,
        output_price=12.0,
        context_tokens=1_048_576,
        max_output_tokens=65_536,
        latency=6.0,
        tiers=frozenset({Tier.HIGH}),
    ),
)
"""
Prices in US dollars, November 2026. Per minute, those of the general models are our own estimate.
Per million tokens: Google's page of prices as API Evangelist wrote it down on 2026-10-07, prompts
up to 200,000 tokens (3.8 Flash costs twice that from January 2027 on); of 3.1 Flash-Lite what
DeepInfra sells it for. Contexts: Google Cloud's guide to Gemini 3.8 Flash.
"""

LEAST_THOUGHT: Mapping[str, str] = MappingProxyType(
    {"gemini-3.8-flash": "LOW", "gemini-3.1-pro-preview": "LOW"}
)
"""The lowest `thinkingLevel` of models that do not take `MINIMAL`; none of them takes none."""

_OWN_WRITING = {"zh-CN": "cmn-Hans-CN", "zh-TW": "cmn-Hant-TW"}
_OLD_WRITING = {"he-IL": "iw-IL", "nb-NO": "no-NO"}
_HEARD = {theirs.lower(): ours for ours, theirs in (_OWN_WRITING | _OLD_WRITING).items()}


def codes(request: TranscribeRequest, card: ModelCard, target: Target) -> list[str]:
    """
    Return the languages to name as Google writes them: the one asked for, or those allowed.

    Raises:
        ProviderRejectedError: the model does not know the language.

    """
    asked = (request.language,) if request.language else request.allowed_languages
    found = dict.fromkeys(_known(asked, card))
    if request.language and not found:
        raise rejected(target, f"does not know the language {request.language} with {card.id}")
    writing = _OWN_WRITING | (_OLD_WRITING if card.id in LOCATIONS else {})
    return [writing.get(one, one) for one in found]


def _known(asked: Iterable[str], card: ModelCard) -> Iterable[str]:
    if card.locales is None:
        return asked
    return (one for tag in asked if (one := match(card.locales, tag)))


def heard(code: str | None) -> str | None:
    """Return a language that Google found as BCP-47; None for none."""
    found = _HEARD.get(code.lower()) or standard(code) if code else None
    return None if found == "und" else found
