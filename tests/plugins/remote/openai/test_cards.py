"""Cards say what OpenAI's models can do, and settings change it."""

import pytest

from junctor.core.cards import CHAT_FEATURES, Capability, Feature, Tier
from junctor.plugins.remote.openai.cards import KNOWN, served_by
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings

DIARIZE = "gpt-4o-transcribe-diarize"
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
    """A model that only chats claims all of chat until somebody says less, and no hearing."""
    settings = ModelSettings(capabilities=frozenset({Capability.CHAT}))
    card = served_by("x", ProviderSettings(models={"m": settings}))["m"].card

    assert (frozenset({Capability.CHAT}), CHAT_FEATURES) == (card.capabilities, card.features)


def test_a_chat_model_is_told_in_full():
    """Context, longest answer, both prices and features of a chat model are settings."""
    settings = ModelSettings(
        capabilities=frozenset({Capability.CHAT}),
        chat_features=frozenset({Feature.TOOLS, Feature.WORD_TIMESTAMPS}),
        context_tokens=32_768,
        max_output_tokens=4_096,
        price=0.5,
        output_price=1.5,
    )
    card = served_by("x", ProviderSettings(models={"m": settings}))["m"].card

    assert (32_768, 4_096, 0.5, 1.5) == (
        card.context_tokens,
        card.max_output_tokens,
        card.price,
        card.output_price,
    )
    assert {Feature.TOOLS} == card.features


def test_own_chat_models():
    """OpenAI's chat models take text and pictures, a million tokens of them."""
    cards = [one.card for one in KNOWN.values() if Capability.CHAT in one.card.capabilities]

    assert ["gpt-6-astra", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-luna"] == [c.id for c in cards]
    assert {(1_050_000, 128_000)} == {(c.context_tokens, c.max_output_tokens) for c in cards}
    assert {CHAT_FEATURES - {Feature.AUDIO}} == {c.features for c in cards}
    assert all(c.output_price == 5 * c.price for c in cards)


RECORDED = sorted(
    id_ for id_, one in KNOWN.items() if Capability.TRANSCRIBE in one.card.capabilities
)
LIVE = sorted(id_ for id_, one in KNOWN.items() if one.is_live)


@pytest.mark.parametrize("model", RECORDED)
def test_facts(model):
    """Only Whisper tells word times and translates; all take 25 MiB and the usual containers."""
    card = KNOWN[model].card
    is_whisper = model == "whisper-1"

    assert is_whisper == (Feature.WORD_TIMESTAMPS in card.features)
    assert is_whisper == (Feature.TRANSLATION in card.features)
    assert (model in {"whisper-1", DIARIZE}) == (
        Capability.STREAM_TRANSCRIBE not in card.capabilities
    )
    assert (model == DIARIZE) == (Feature.DIARIZATION in card.features)
    assert 26_214_400 == card.max_bytes


def test_live_models():
    """Two models listen live, do nothing else, and find the language by themselves."""
    cards = [KNOWN[model].card for model in LIVE]

    assert ["gpt-live-transcribe", "gpt-realtime-whisper"] == LIVE
    assert {frozenset({Capability.LIVE_TRANSCRIBE})} == {card.capabilities for card in cards}
    assert {frozenset({Feature.AUTO_LANGUAGE})} == {card.features for card in cards}


def test_another_model_can_listen_live():
    """A server whose own model speaks the realtime API says so with `capabilities`."""
    own = ModelSettings(capabilities=frozenset({Capability.LIVE_TRANSCRIBE}), diarization=True)
    served = served_by("x", ProviderSettings(models={"m": own}))["m"]

    assert served.is_live
    assert Feature.DIARIZATION in served.card.features


@pytest.mark.parametrize(
    ("model", "language", "allowed", "expected"),
    [
        ("gpt-transcribe", "th-TH", (), ("th",)),
        ("gpt-transcribe", None, ("th-TH", "en-IN", "en-US"), ("th", "en")),
        ("gpt-transcribe", "th", ("en",), ("th",)),
        ("whisper-1", None, ("th-TH",), ("th",)),
        ("whisper-1", None, ("th-TH", "en"), ()),
        ("whisper-1", None, ("te",), ()),
        ("gpt-live-transcribe", None, ("ta", "te"), ("ta", "te")),
        ("gpt-realtime-whisper", None, (), ()),
    ],
)
def test_hints(model, language, allowed, expected):
    """Several languages are told only to models that take several."""
    assert expected == KNOWN[model].hints(language, allowed)
