"""Deepgram's models as data, and the languages of each."""

from collections.abc import Sequence

from attrs import evolve

from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.plugins.remote.vendor import tags

NAME = "deepgram"

DETECTED = tags(
    "bg ca cs da de de-CH el en es et fi fr hi hu id it ja ko lt lv ms nl nl-BE no pl pt ro ru sk "
    "sv th tr uk vi zh"
)
"""What `detect_language` tells apart."""
_NOVA_2 = DETECTED | tags(
    "da-DK en-AU en-GB en-IN en-NZ en-US es-419 fr-CA ko-KR pt-BR pt-PT sv-SE th-TH zh-CN zh-HK "
    "zh-Hans zh-Hant zh-TW"
)
_NOVA_3 = _NOVA_2 | tags("be bn bs fa gu gu-IN he hr kn mk mr sl sr ta te tl ur")
FLUX_LOCALES = tags("de en es fr hi it ja nl pt ru")
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
        locales=FLUX_LOCALES,
        features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE}),
        price=0.0078,
    ),
)
"""Prices in US dollars per minute, November 2026; of two published ones the higher."""
