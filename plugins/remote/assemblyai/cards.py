"""AssemblyAI's models as data, and how it writes languages."""

from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.locales import match, primary, standard
from junctor.core.net import Target
from junctor.plugins.remote.vendor import rejected, tags

NAME = "assemblyai"

_EUROPEAN = "de en es fr it pt"
_UNIVERSAL_3 = f"{_EUROPEAN} ar da fi he hi ja nb nl no sv tr vi zh"
_UNIVERSAL_2 = """
en en-AU en-GB en-US es fr de it pt nl af sq am ar hy as az ba eu be bn bs br bg my ca zh hr cs da
et fo fi gl ka el gu ht ha haw he hi hu is id ja jv kn kk km ko lo la lv ln lt lb mk mg ms ml mt mi
mr mn ne nb no nn oc pa ps fa pl ro ru sa sr sn sd si sk sl so su sw sv fil tg ta tt te th bo tr tk
uk ur uz vi cy yi yo
"""
_OWN_CODES = {"en-GB": "en_uk", "fil": "tl", "jv": "jw", "nb": "no"}
_TAKEN = frozenset(
    {
        "audio/aac",
        "audio/aiff",
        "audio/amr",
        "audio/basic",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "video/quicktime",
    }
)
_MAX_BYTES = 2_200_000_000
_MAX_SECONDS = 36_000.0
_RECORDED = frozenset({Capability.TRANSCRIBE})
_LIVE = frozenset({Capability.LIVE_TRANSCRIBE})
_TIMED = frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS, Feature.DIARIZATION})
_LIVE_TIMED = frozenset({Feature.WORD_TIMESTAMPS, Feature.DIARIZATION})

CARDS = (
    ModelCard(
        provider=NAME,
        id="universal-3-5-pro",
        capabilities=_RECORDED,
        summary="AssemblyAI's best model for recordings; 18 languages, takes a prompt.",
        locales=tags(_UNIVERSAL_3),
        features=_TIMED | {Feature.AUTO_LANGUAGE, Feature.PROMPT},
        media_types=_TAKEN,
        max_bytes=_MAX_BYTES,
        max_seconds=_MAX_SECONDS,
        quality=0.94,
        price=0.0035,
        latency=8.0,
        tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
    ),
    ModelCard(
        provider=NAME,
        id="universal-2",
        capabilities=_RECORDED,
        summary="AssemblyAI's model of 99 languages, Thai and the Indic ones among them.",
        locales=tags(_UNIVERSAL_2),
        features=_TIMED | {Feature.AUTO_LANGUAGE},
        media_types=_TAKEN,
        max_bytes=_MAX_BYTES,
        max_seconds=_MAX_SECONDS,
        quality=0.85,
        price=0.0025,
        latency=8.0,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    ModelCard(
        provider=NAME,
        id="universal-3-6-pro",
        capabilities=_LIVE,
        summary="AssemblyAI's best live model, which follows speakers from language to language.",
        locales=tags(_UNIVERSAL_3),
        features=_LIVE_TIMED | {Feature.AUTO_LANGUAGE},
        quality=0.92,
        price=0.0075,
        latency=0.4,
        tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
    ),
    ModelCard(
        provider=NAME,
        id="universal-streaming-english",
        capabilities=_LIVE,
        summary="AssemblyAI's quick live model for English.",
        locales=frozenset({"en"}),
        features=_LIVE_TIMED,
        quality=0.85,
        price=0.0025,
        latency=0.3,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    ModelCard(
        provider=NAME,
        id="universal-streaming-multilingual",
        capabilities=_LIVE,
        summary="AssemblyAI's quick live model for six European languages.",
        locales=tags(_EUROPEAN),
        features=_LIVE_TIMED | {Feature.AUTO_LANGUAGE},
        quality=0.83,
        price=0.0025,
        latency=0.3,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    ModelCard(
        provider=NAME,
        id="whisper-rt",
        capabilities=_LIVE,
        summary="Whisper, live, in the languages of universal-2; it always detects the language.",
        locales=tags(_UNIVERSAL_2),
        features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE}),
        quality=0.78,
        price=0.005,
        latency=1.0,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
)
"""All models that serve; prices in US dollars per minute, October 2026."""


def written(language: str, card: ModelCard, target: Target) -> str:
    """
    Return a BCP-47 tag as AssemblyAI writes it: `en_au`, or `en` for a region it does not list.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    known = card.locales or frozenset()
    tag = language if language in known else match(known, primary(language))
    if tag is None:
        raise rejected(target, f"does not understand {language}")
    return _OWN_CODES.get(tag, tag.lower().replace("-", "_"))


def expected(languages: tuple[str, ...], card: ModelCard, target: Target) -> list[str]:
    """Return the tags that the model knows, as AssemblyAI writes them, each once."""
    known = [one for one in languages if match(card.locales or (), one) is not None]
    return list(dict.fromkeys(written(one, card, target) for one in known))


def tag_of(code: str | None) -> str | None:
    """Return the BCP-47 tag of a code as AssemblyAI writes it; None for what is none."""
    return standard(code) if code else None
