"""Cards say what OpenAI's models can do, and settings change it."""

import pytest

from junctor.core.cards import Capability, Feature, Tier
from junctor.plugins.remote.openai.cards import KNOWN, served_by
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings

OTHER = "http://127.0.0.1:9000/v1"


def test_own_models_are_known():
    """At OpenAI's own URL its models are served without being listed."""
    assert {*KNOWN} == {*served_by("openai", ProviderSettings())}


def test_other_servers_list_theirs():
    """At another URL only what is listed is served, under the provider's own name."""
    settings = ProviderSettings(base_url=OTHER, models={"large-v3": ModelSettings()})
    (served,) = served_by("mine", settings).values()

    assert ("mine:large-v3", frozenset({Capability.TRANSCRIBE})) == (
        served.card.name,
        served.card.capabilities,
    )
    assert Feature.WORD_TIMESTAMPS not in served.card.features


def test_a_known_model_keeps_its_card_elsewhere():
    """`whisper-1` at another server is what OpenAI's is, but for the provider."""
    settings = ProviderSettings(base_url=OTHER, models={"whisper-1": ModelSettings(price=0.0)})
    card = served_by("mine", settings)["whisper-1"].card

    assert ("mine:whisper-1", 0.0) == (card.name, card.price)
    assert KNOWN["whisper-1"].card.features == card.features


def test_everything_can_be_changed():
    """Each setting of a model is seen in its card."""
    settings = ModelSettings(
        summary="s",
        locales=frozenset({"th"}),
        auto_language=False,
        word_timestamps=True,
        translation=True,
        prompt=False,
        streaming=True,
        media_types=frozenset({"audio/wav"}),
        max_bytes=10,
        max_seconds=20.0,
        quality=0.1,
        price=0.2,
        latency=0.3,
        tiers=frozenset({Tier.HIGH}),
    )
    card = served_by("x", ProviderSettings(models={"m": settings}))["m"].card

    assert frozenset({Feature.WORD_TIMESTAMPS, Feature.TRANSLATION}) == card.features
    assert frozenset({Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE}) == card.capabilities
    assert "s" == card.summary
    assert [{"th"}, {"audio/wav"}, {Tier.HIGH}] == [card.locales, card.media_types, card.tiers]
    assert (10, 20.0, 0.1, 0.2, 0.3) == (
        card.max_bytes,
        card.max_seconds,
        card.quality,
        card.price,
        card.latency,
    )


def test_streaming_can_be_turned_off():
    """A known model can lose what a compatible server does not do."""
    settings = ProviderSettings(models={"gpt-4o-transcribe": ModelSettings(streaming=False)})

    assert not served_by("x", settings)["gpt-4o-transcribe"].streams


def test_a_chat_model_has_no_speech_features():
    """A model that only chats claims nothing about audio."""
    settings = ModelSettings(capabilities=frozenset({Capability.CHAT}))
    card = served_by("x", ProviderSettings(models={"m": settings}))["m"].card

    assert (frozenset({Capability.CHAT}), frozenset()) == (card.capabilities, card.features)


@pytest.mark.parametrize("model", sorted(KNOWN))
def test_facts(model):
    """Only Whisper tells times and translates; all take 25 MiB and the usual containers."""
    card = KNOWN[model].card
    is_whisper = model == "whisper-1"

    assert is_whisper == (Feature.WORD_TIMESTAMPS in card.features)
    assert is_whisper == (Feature.TRANSLATION in card.features)
    assert is_whisper == (Capability.STREAM_TRANSCRIBE not in card.capabilities)
    assert 26_214_400 == card.max_bytes
