"""ElevenLabs' models as data, and how it writes languages."""

from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.locales import match, primary
from junctor.core.net import Target
from junctor.plugins.remote.vendor import rejected, tags

NAME = "elevenlabs"

_LOCALES = tags("""
af am ar as ast az be bg bn bs ca ceb cs cy da de el en es et fa ff fi fil fr ga gl gu ha he hi hr
hu hy id ig is it ja jv ka kea kk km kn ko ku ky lb lg ln lo lt luo lv mi mk ml mn mr ms mt my nb
ne nl no nso ny oc or pa pl ps pt ro ru sd sk sl sn so sr sv sw ta te tg th tr uk umb ur uz vi wo
xh yue zh zu
""")
_OWN_CODES = {"nb": "no"}
_TAKEN = frozenset(
    {
        "audio/aac",
        "audio/aiff",
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "audio/x-matroska",
        "video/quicktime",
    }
)
_PRICE = 0.003667
_LIVE_PRICE = 0.0065


def _recorded(
    id_: str, summary: str, *, quality: float, tiers: set[Tier], latency: float = 3.0
) -> ModelCard:
    features = {Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE, Feature.DIARIZATION}
    return ModelCard(
        provider=NAME,
        id=id_,
        capabilities=frozenset({Capability.TRANSCRIBE}),
        summary=summary,
        locales=_LOCALES,
        features=frozenset(features),
        media_types=_TAKEN,
        max_bytes=5_000_000_000,
        max_seconds=36_000.0,
        quality=quality,
        price=_PRICE,
        latency=latency,
        tiers=frozenset(tiers),
    )


def _live(id_: str, summary: str, *, quality: float, tiers: set[Tier]) -> ModelCard:
    return ModelCard(
        provider=NAME,
        id=id_,
        capabilities=frozenset({Capability.LIVE_TRANSCRIBE}),
        summary=summary,
        locales=_LOCALES,
        features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE}),
        quality=quality,
        price=_LIVE_PRICE,
        latency=0.3,
        tiers=frozenset(tiers),
    )


CARDS = (
    _recorded(
        "scribe_v3",
        "ElevenLabs' newest model of over 90 languages; not every account has it.",
        quality=0.96,
        tiers={Tier.HIGH},
    ),
    _recorded(
        "scribe_v2",
        "ElevenLabs' model of over 90 languages, Thai and the large Indic ones among them.",
        quality=0.94,
        tiers={Tier.MEDIUM, Tier.HIGH},
    ),
    _recorded(
        "scribe_v2_medical",
        "ElevenLabs' scribe_v2 for medical speech.",
        quality=0.8,
        tiers={Tier.MEDIUM},
    ),
    _recorded(
        "scribe_v1",
        "ElevenLabs' first model, kept for those who know it.",
        quality=0.85,
        tiers={Tier.LOW},
    ),
    _live(
        "scribe_v2_realtime",
        "ElevenLabs' live model of over 90 languages.",
        quality=0.9,
        tiers={Tier.MEDIUM, Tier.HIGH},
    ),
    _live(
        "scribe_v2_realtime_turbo",
        "ElevenLabs' quicker live model.",
        quality=0.85,
        tiers={Tier.LOW, Tier.MEDIUM},
    ),
    _live(
        "scribe_v2_realtime_lite",
        "ElevenLabs' lightest live model.",
        quality=0.8,
        tiers={Tier.LOW},
    ),
)
"""
All models; prices in US dollars per minute, September 2026, from other sources than ElevenLabs:
known for scribe_v2 and scribe_v2_realtime, and taken to be the same for the others.
"""


def written(language: str, card: ModelCard, target: Target) -> str:
    """
    Return a BCP-47 tag as ElevenLabs writes it: ISO 639, without a region.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    tag = match(card.locales or (), language)
    if tag is None:
        raise rejected(target, f"does not understand {language}")
    return _OWN_CODES.get(tag, primary(tag))


def expected(languages: tuple[str, ...], card: ModelCard, target: Target) -> list[str]:
    """Return the languages that the model knows, as ElevenLabs writes them, each once."""
    known = [one for one in languages if match(card.locales or (), one) is not None]
    return list(dict.fromkeys(written(one, card, target) for one in known))
