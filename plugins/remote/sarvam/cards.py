"""Sarvam's models as data; prices in US dollars per minute, November 2026."""

from attrs import evolve

from junctor.core.cards import Capability, Feature, ModelCard, Tier

NAME = "sarvam"
EXTENSIONS = {
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "webm",
}
"""File extensions of the media types that it takes."""

_LOCALES = (
    *("as-IN", "bn-IN", "brx-IN", "doi-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "kok-IN", "ks-IN"),
    *("mai-IN", "ml-IN", "mni-IN", "mr-IN", "ne-IN", "or-IN", "pa-IN", "sa-IN", "sat-IN", "sd-IN"),
    *("ta-IN", "te-IN", "ur-IN"),
)
_V4 = ModelCard(
    provider=NAME,
    id="saaras:v4",
    capabilities=frozenset({Capability.TRANSCRIBE, Capability.LIVE_TRANSCRIBE}),
    summary="Sarvam's best model, for 22 Indian languages and Indian English; times by phrase.",
    locales=frozenset(_LOCALES),
    features=frozenset(
        {
            Feature.AUTO_LANGUAGE,
            Feature.DIARIZATION,
            Feature.SEGMENT_TIMESTAMPS,
            Feature.TRANSLATION,
        }
    ),
    media_types=frozenset(EXTENSIONS),
    max_seconds=7200.0,
    quality=0.9,
    price=0.0059,  # 0.50 Indian rupees; with speakers told apart it is 0.75
    latency=1.5,
    tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
)

CARDS = (
    _V4,
    evolve(
        _V4,
        id="saaras:v3",
        capabilities=frozenset({Capability.TRANSCRIBE}),
        summary="Sarvam's model before v4, for 22 Indian languages and Indian English.",
        quality=0.8,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
    evolve(
        _V4,
        id="saaras:v3-realtime",
        capabilities=frozenset({Capability.LIVE_TRANSCRIBE}),
        summary="Sarvam's v3 for speech under way; partial results come early.",
        features=frozenset({Feature.AUTO_LANGUAGE}),
        media_types=None,
        max_seconds=None,
        quality=0.8,
        latency=0.5,
        tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
    ),
)
"""Every model that Sarvam's SDK names in November 2026, but the one that only translates."""
