"""pocketsphinx behind the provider: modest, honest, and never in the server's process."""

import asyncio

import pytest
import pytest_asyncio

from junctor.conf.settings import Settings
from junctor.core.cards import Tier
from junctor.core.errors import ProviderRejectedError
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import silent_clip, tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.local.sphinx import SphinxProvider, SphinxSettings, junctor_providers
from junctor.plugins.local.workers.sphinx import phrases, spoken
from tests.plugins.local.voices import say

SENTENCE = "the weather is very nice"


@pytest.mark.slow
class TestSphinx(ProviderConformance):
    """The rules of every provider; one engine does all."""

    loop_scope = "class"

    burst = 20

    @pytest.fixture
    def provider(self):
        return SphinxProvider(SphinxSettings(max_queue=2))

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls):  # type: ignore[override]
        provider = SphinxProvider(SphinxSettings(max_queue=2))
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def clip(self):
        return say(SENTENCE)

    async def stopped(self, provider):
        while provider.engines()["en-us"].running:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


@pytest.fixture(name="sphinx", scope="module")
def _sphinx():
    """One loaded recogniser, on a loop of its own."""
    with asyncio.Runner() as runner:
        provider = SphinxProvider(SphinxSettings())
        yield lambda clip, **fields: runner.run(
            provider.transcribe(TranscribeRequest(audio=clip, model="en-us", **fields))
        )
        runner.run(provider.close())


def test_hears_words_with_times_and_confidence(sphinx):
    """Some of what eSpeak says is understood, at about the time it is said."""
    found = sphinx(say(SENTENCE))
    weather = next(word for word in found.words if word.text == "weather")

    assert 0.5 < weather.start < weather.end < 1.5
    assert all(0 <= word.confidence <= 1 for word in found.words)
    assert "en" == found.language


def test_same_recording_same_text(sphinx):
    """What was heard before does not change what is heard now."""
    clip = say(SENTENCE)
    first = sphinx(clip)
    sphinx(say("another recording at all"))

    assert first == sphinx(clip)


@pytest.mark.parametrize("make", [silent_clip, tone_clip])
def test_hears_nothing_in_silence(sphinx, make):
    """The decoder alone hears words in silence; it is never shown any."""
    assert sphinx(make(2.0)).is_empty


@pytest.mark.parametrize("fields", [{"language": "th"}, {"task": Task.TRANSLATE}])
def test_refuses_what_it_cannot(sphinx, fields):
    """Another language and translation are for another candidate."""
    with pytest.raises(ProviderRejectedError):
        sphinx(silent_clip(), **fields)


def test_card_is_honest():
    """Its card says low, modest, English."""
    [provider] = junctor_providers(Settings())
    [card] = provider.models()

    assert ("sphinx:en-us", {"en"}, {Tier.LOW}) == (card.name, card.locales, card.tiers)
    assert card.quality <= 0.2


@pytest.mark.parametrize(
    ("entry", "word"),
    [("read(2)", "read"), ("<sil>", ""), ("</s>", ""), ("[NOISE]", ""), ("++UM++", ""), ("a", "a")],
)
def test_dictionary_entries_become_words(entry, word):
    """Variants lose their number, and silence and noise are no words."""
    assert word == spoken(entry)


def test_long_stretches_are_cut():
    """No utterance is longer than the decoder bears, and nothing is lost."""
    parts = phrases(1.0, 51.0)

    assert 3 == len(parts)
    assert (1.0, 51.0) == (parts[0][0], pytest.approx(parts[-1][1]))
