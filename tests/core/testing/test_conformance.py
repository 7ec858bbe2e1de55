"""The kit passes a good provider and catches the bad ones."""

import asyncio
import time

import pytest
from attrs import evolve

from junctor.core.cards import Capability, Tier
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.testing.fakes import Fail, FakeTranscriber, Say, fake_card, transcript_of
from junctor.core.transcripts import Transcript

CLIP = tone_clip(2.0)


class TestFake(ProviderConformance):
    """The scripted provider keeps the rules that it helps to test."""

    burst = 12

    @pytest.fixture
    def provider(self):
        capabilities = set(fake_card().capabilities) | {
            Capability.TRANSCRIBE_WINDOWS,
            Capability.ALIGN,
        }
        return FakeTranscriber(
            cards=[fake_card(capabilities=capabilities)],
            then=Say("one two three four five six", gap=0.03),
            capacity=8,
        )

    @pytest.fixture
    def said(self):
        return ("one", "two", "three", "four", "five", "six")

    @pytest.fixture
    def clip(self):
        return CLIP

    async def stopped(self, provider):
        while provider.running:
            await provider.settled(len(provider.calls))


class Blocking(FakeTranscriber):
    async def transcribe(self, request, /):
        time.sleep(0.6)  # noqa: ASYNC251 - that is what is to be caught
        return await super().transcribe(request)


class Deaf(FakeTranscriber):
    async def transcribe(self, request, /):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return await super().transcribe(request)


class Muddled(FakeTranscriber):
    async def transcribe(self, request, /) -> Transcript:
        said = transcript_of("one two three")
        return evolve(said, words=said.words[::-1])


class Mute(FakeTranscriber):
    async def transcribe(self, request, /) -> Transcript:
        return Transcript(text="")


@pytest.mark.parametrize(
    ("provider", "test", "extra"),
    [
        (Blocking, "loop_is_not_blocked", ()),
        (Deaf, "cancel_stops_the_work", (CLIP,)),
        (Muddled, "words_have_their_times", ()),
        (Mute, "transcribes", ()),
    ],
)
async def test_catches_the_broken(provider, test, extra):
    """Each way to break the rules fails its test."""
    with pytest.raises(AssertionError):
        await getattr(ProviderConformance(), f"test_{test}")(provider(), CLIP, *extra)


async def test_catches_foreign_errors():
    """An error that is not of our tree is caught."""
    fake = FakeTranscriber(then=Fail(ValueError("oops")))

    with pytest.raises(AssertionError, match="not an error of junctor's tree"):
        await ProviderConformance().test_strange_requests_fail_in_our_tree(fake, CLIP, "noise")


@pytest.mark.parametrize(
    "card",
    [
        fake_card(provider="another"),
        evolve(fake_card(), quality=2.0),
        evolve(fake_card(), tiers=frozenset[Tier]()),
        evolve(fake_card(), locales=frozenset({"not a tag"})),
    ],
)
async def test_catches_odd_cards(card):
    """A card out of its bounds is caught."""
    with pytest.raises(AssertionError):
        await ProviderConformance().test_cards_are_well_formed(FakeTranscriber(cards=[card]))
