"""OpenAI's own models as data, and how settings change what is known of a model."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from attrs import evolve, frozen

from junctor.core.cards import CHAT_FEATURES, Capability, Feature, ModelCard, Tier
from junctor.core.locales import primary
from junctor.plugins.remote.openai.settings import NAME, ModelSettings, ProviderSettings

T = TypeVar("T")

MEDIA_TYPES = frozenset(
    {"audio/flac", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm"}
)
MAX_BYTES = 25 * 1024 * 1024
_WRITES = frozenset({Capability.TRANSCRIBE})
_STREAMS = frozenset({Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE})
_LIVE = frozenset({Capability.LIVE_TRANSCRIBE})
_HEARS = _STREAMS | _LIVE
_PLAIN = frozenset({Feature.AUTO_LANGUAGE, Feature.PROMPT})
_TIMED = frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS})
_CHATS = frozenset({Capability.CHAT})
_REFUSED_HINTS = frozenset({"bn", "gu", "te"})


@frozen(kw_only=True)
class Served:
    """A model: its card, and what is special on the wire."""

    card: ModelCard
    language_field: str = "language"
    """Form field of the language; empty for none."""
    unhinted: frozenset[str] = frozenset()
    """Languages it hears but refuses as a hint."""
    segments_format: str = "verbose_json"
    """The `response_format` that has segments."""

    def has(self, feature: Feature) -> bool:
        """Whether the card names the feature."""
        return feature in self.card.features

    @property
    def streams(self) -> bool:
        """Whether it answers with server-sent events when asked to."""
        return Capability.STREAM_TRANSCRIBE in self.card.capabilities

    @property
    def is_timed(self) -> bool:
        """Whether it has an answer with segments."""
        return not self.card.features.isdisjoint(_TIMED)

    @property
    def is_live(self) -> bool:
        """Whether it listens over the realtime WebSocket."""
        return Capability.LIVE_TRANSCRIBE in self.card.capabilities

    def hints(self, language: str | None, allowed: Iterable[str] = ()) -> tuple[str, ...]:
        """
        Return the languages to expect, ISO 639-1.

        Args:
            language: what is spoken, BCP-47; None where unknown.
            allowed: what it may be then; told only where the model takes several, or it is one.

        """
        tags = allowed if language is None else (language,)
        codes = tuple(dict.fromkeys(primary(tag) for tag in tags))
        if not self.language_field or not self.unhinted.isdisjoint(codes):
            return ()
        return codes if len(codes) == 1 or self.language_field == "languages[]" else ()


_OWN = ModelCard(
    provider=NAME,
    id="",
    capabilities=_STREAMS,
    features=_PLAIN,
    media_types=MEDIA_TYPES,
    max_bytes=MAX_BYTES,
    latency=2.0,
)

_OWN_LIVE = ModelCard(
    provider=NAME,
    id="",
    capabilities=_LIVE,
    features=frozenset({Feature.AUTO_LANGUAGE}),
    price=0.017,
    latency=1.0,
)

_OWN_CHAT = ModelCard(
    provider=NAME,
    id="",
    capabilities=_CHATS,
    features=CHAT_FEATURES - {Feature.AUDIO},
    context_tokens=1_050_000,
    max_output_tokens=128_000,
    latency=2.0,
)

KNOWN: Mapping[str, Served] = MappingProxyType(
    {
        "gpt-transcribe": Served(
            card=evolve(
                _OWN,
                id="gpt-transcribe",
                summary="OpenAI's recommended transcription model; text only, no time stamps.",
                quality=0.95,
                price=0.0045,
                tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
            ),
            language_field="languages[]",
        ),
        "gpt-4o-transcribe": Served(
            card=evolve(
                _OWN,
                id="gpt-4o-transcribe",
                summary="OpenAI GPT-4o transcription; text only; to be shut down on 2027-02-26.",
                quality=0.9,
                price=0.006,
                tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
            ),
            unhinted=_REFUSED_HINTS,
        ),
        "gpt-4o-mini-transcribe": Served(
            card=evolve(
                _OWN,
                id="gpt-4o-mini-transcribe",
                summary="OpenAI GPT-4o mini transcription; text only; to be shut down on 2027-02-26.",
                quality=0.8,
                price=0.003,
                latency=1.5,
                tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
            ),
            unhinted=_REFUSED_HINTS,
        ),
        "whisper-1": Served(
            card=evolve(
                _OWN,
                id="whisper-1",
                summary="OpenAI Whisper (large-v2) with word times and translation to English; "
                "to be shut down on 2027-02-26.",
                capabilities=_WRITES,
                features=_PLAIN | _TIMED | {Feature.TRANSLATION},
                quality=0.75,
                price=0.006,
                latency=3.0,
                tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
            ),
            unhinted=_REFUSED_HINTS,
        ),
        "gpt-4o-transcribe-diarize": Served(
            card=evolve(
                _OWN,
                id="gpt-4o-transcribe-diarize",
                summary="OpenAI GPT-4o transcription that tells speakers apart, by segment; "
                "to be shut down on 2027-02-26.",
                capabilities=_WRITES,
                features=frozenset(
                    {Feature.AUTO_LANGUAGE, Feature.DIARIZATION, Feature.SEGMENT_TIMESTAMPS}
                ),
                quality=0.9,
                price=0.006,
                latency=4.0,
                tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
            ),
            unhinted=_REFUSED_HINTS,
            segments_format="diarized_json",
        ),
        "gpt-live-transcribe": Served(
            card=evolve(
                _OWN_LIVE,
                id="gpt-live-transcribe",
                summary="OpenAI's recommended model for live speech; text only.",
                quality=0.9,
                tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
            ),
            language_field="languages[]",
        ),
        "gpt-realtime-whisper": Served(
            card=evolve(
                _OWN_LIVE,
                id="gpt-realtime-whisper",
                summary="OpenAI's quickest model for live speech; text only.",
                quality=0.8,
                tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
            ),
        ),
        "gpt-6-astra": Served(
            card=evolve(
                _OWN_CHAT,
                id="gpt-6-astra",
                summary="OpenAI's largest chat model, for the hardest questions.",
                quality=0.97,
                price=10.0,
                output_price=50.0,
                latency=4.0,
                tiers=frozenset({Tier.HIGH}),
            ),
        ),
        "gpt-6.1-sol": Served(
            card=evolve(
                _OWN_CHAT,
                id="gpt-6.1-sol",
                summary="OpenAI's chat model for hard work, at a fifth of the price of Astra.",
                quality=0.95,
                price=2.0,
                output_price=10.0,
                latency=3.0,
                tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
            ),
        ),
        "gpt-6.1-terra": Served(
            card=evolve(
                _OWN_CHAT,
                id="gpt-6.1-terra",
                summary="OpenAI's quick chat model for every day.",
                quality=0.88,
                price=1.0,
                output_price=5.0,
                tiers=frozenset({Tier.LOW, Tier.MEDIUM}),
            ),
        ),
        "gpt-6-luna": Served(
            card=evolve(
                _OWN_CHAT,
                id="gpt-6-luna",
                summary="OpenAI's cheapest chat model, for much that is simple.",
                quality=0.75,
                price=0.1,
                output_price=0.5,
                latency=1.0,
                tiers=frozenset({Tier.LOW}),
            ),
        ),
    }
)
"""
OpenAI's own models; prices in US dollars, November 2026: of speech per minute, of chat per million
tokens (LiteLLM's and ngrok's announcements of these models, which quote OpenAI; prompts up to
272,000 tokens: beyond, OpenAI takes twice as much). Ids: OpenAI's Python SDK 3.52. Contexts: the
pages of Google Cloud and of Vercel, which resell them.
"""


def served_by(name: str, settings: ProviderSettings) -> dict[str, Served]:
    """Return the models of one provider by id, known ones first."""
    ids = [*(KNOWN if settings.has_default_models else ()), *settings.models]
    return {
        id_: _changed(_base(name, id_), settings.models.get(id_, ModelSettings()))
        for id_ in dict.fromkeys(ids)
    }


def _base(provider: str, id_: str) -> Served:
    if known := KNOWN.get(id_):
        return evolve(known, card=evolve(known.card, provider=provider))
    card = ModelCard(
        provider=provider,
        id=id_,
        capabilities=_WRITES,
        summary=f"{id_} as served by {provider}.",
        features=_PLAIN,
        media_types=MEDIA_TYPES,
    )
    return Served(card=card)


def _changed(base: Served, settings: ModelSettings) -> Served:
    capabilities = _capabilities(base.card, settings)
    card = evolve(
        base.card,
        summary=_or(settings.summary, base.card.summary),
        capabilities=capabilities,
        locales=_or(settings.locales, base.card.locales),
        features=_features(base.card, settings, capabilities),
        media_types=_or(settings.media_types, base.card.media_types),
        max_bytes=_or(settings.max_bytes, base.card.max_bytes),
        max_seconds=_or(settings.max_seconds, base.card.max_seconds),
        quality=_or(settings.quality, base.card.quality),
        price=_or(settings.price, base.card.price),
        latency=_or(settings.latency, base.card.latency),
        output_price=_or(settings.output_price, base.card.output_price),
        context_tokens=_or(settings.context_tokens, base.card.context_tokens),
        max_output_tokens=_or(settings.max_output_tokens, base.card.max_output_tokens),
        tiers=_or(settings.tiers, base.card.tiers),
    )
    return evolve(base, card=card, language_field=_or(settings.language_field, base.language_field))


def _or(given: T | None, known: T) -> T:
    return known if given is None else given


def _capabilities(card: ModelCard, settings: ModelSettings) -> frozenset[Capability]:
    found = _or(settings.capabilities, card.capabilities)
    return _switched(found, {Capability.STREAM_TRANSCRIBE: settings.streaming})


def _features(
    card: ModelCard, settings: ModelSettings, capabilities: frozenset[Capability]
) -> frozenset[Feature]:
    known = card.features if Capability.CHAT in card.capabilities else CHAT_FEATURES
    chats = _or(settings.chat_features, known) & CHAT_FEATURES
    said = chats if Capability.CHAT in capabilities else frozenset()
    if not capabilities & _HEARS:
        return said
    switches = {
        Feature.AUTO_LANGUAGE: settings.auto_language,
        Feature.WORD_TIMESTAMPS: settings.word_timestamps,
        Feature.SEGMENT_TIMESTAMPS: settings.segment_timestamps,
        Feature.DIARIZATION: settings.diarization,
        Feature.TRANSLATION: settings.translation,
        Feature.PROMPT: settings.prompt,
    }
    return _switched(card.features, switches) | said


def _switched(known: frozenset[T], switches: Mapping[T, bool | None]) -> frozenset[T]:
    on = {item for item, wish in switches.items() if wish}
    off = {item for item, wish in switches.items() if wish is False}
    return known - off | on
