"""One recording through policy and dispatch, in a whole runtime with scripted providers."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import evolve

from junctor.conf.settings import Model, Policy, Settings, Team, TierPolicy
from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.errors import (
    AllCandidatesFailedError,
    JunctorError,
    ProviderAnswerError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnsupportedOptionError,
)
from junctor.core.plans import Choice
from junctor.core.requests import ReviseRequest, TranscribeRequest
from junctor.core.testing.fakes import Fail, FakeTranscriber, Say, Step, fake_card
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript, TranscriptDelta, TranscriptEvent
from tests.core.test_gateway import CLIP, House, charges, house, settings

EARS = frozenset({Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE})
PLAIN: dict[str, Any] = {"capabilities": EARS, "features": frozenset({Feature.WORD_TIMESTAMPS})}
"""A model that has to be told the language."""


def provider(name: str, *, then: Step | None = None, **card: Any) -> FakeTranscriber:
    card = {"capabilities": EARS} | card
    cards = [evolve(fake_card("one", provider=name), **card)]
    return FakeTranscriber(name, cards=cards, then=then or Say(f"by {name}"))


def ear(language: str = "th") -> FakeTranscriber:
    """Return who tells the language, and nothing else."""
    card = {"capabilities": frozenset({Capability.IDENTIFY_LANGUAGE})}
    return provider("ear", then=Say("x", language=language), **card)


class Reviser:
    """A model without ears, which adds a word each time."""

    name = "reviser"

    def __init__(self) -> None:
        self.asked: list[ReviseRequest] = []

    def models(self) -> Sequence[ModelCard]:
        return [fake_card("one", provider="reviser", capabilities=[Capability.REVISE_TRANSCRIPT])]

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def revise(self, request: ReviseRequest, /) -> Transcript:
        self.asked.append(request)
        return evolve(request.transcript, text=f"{request.transcript.text} revised")


def down(name: str) -> Fail:
    return Fail(ProviderUnavailableError("Down.", provider=name))


def rejects(name: str) -> Fail:
    return Fail(ProviderRejectedError("No.", provider=name))


def tiered(folder: Path, rules: TierPolicy, **more: Any) -> Settings:
    policy = Policy(tiers={"medium": rules}, attempts_per_candidate=1)
    return settings(folder, policy=policy, **more)


async def transcribed(
    home: House, choice: Choice | None = None, **more: Any
) -> tuple[Transcript, Ticket]:
    """Return the answer to a request in an unknown language, unless `more` says which."""
    async with await home.admit() as ticket:
        clip = await home.gateway.open_clip(ticket, CLIP.data, filename="a.wav")
        request = TranscribeRequest(audio=clip, **more)
        return await home.gateway.transcribe(ticket, request, choice or Choice()), ticket


async def streamed(home: House, choice: Choice, **more: Any) -> list[TranscriptEvent]:
    async with await home.admit() as ticket:
        clip = await home.gateway.open_clip(ticket, CLIP.data, filename="a.wav")
        request = TranscribeRequest(audio=clip, **more)
        events = home.gateway.stream_transcribe(ticket, request, choice)
        return [event async for event in events]


def told(fake: FakeTranscriber) -> list[object]:
    """Return the languages that a provider was told."""
    return [getattr(call.request, "language", None) for call in fake.calls]


# Languages


@pytest.mark.parametrize(
    "rules",
    [TierPolicy(provider_preference=("thai",)), TierPolicy(fallback_chain=("thai",))],
    ids=["preference", "chain"],
)
async def test_the_preference_of_the_tier_does_not_deafen_the_identifier(
    tmp_path: Path, rules: TierPolicy
) -> None:
    """Who writes is preferred, and somebody else tells the language."""
    thai = provider("thai", locales=frozenset({"th"}), **PLAIN)
    async with house(tiered(tmp_path, rules), thai, ear()) as home:
        await transcribed(home, Choice(provider="thai"))

        assert told(thai) == ["th"]


async def test_who_may_not_be_used_does_not_tell_the_language(tmp_path: Path) -> None:
    """Then nobody can, and a model that has to be told is not asked without."""
    team = Team(allowed_models=("thai", "other"))
    thai, other = provider("thai", quality=1.0, **PLAIN), provider("other")
    async with house(
        tiered(tmp_path, TierPolicy(), teams={"acme": team}), thai, other, ear()
    ) as home:
        await transcribed(home, allowed_languages=("en", "th"))

        assert (told(thai), told(other)) == ([], [None])


async def test_a_member_of_an_ensemble_is_told_the_language(tmp_path: Path) -> None:
    """The first choice hears it by itself, the other one must not guess."""
    one, other = provider("one"), provider("other", **PLAIN)
    rules = TierPolicy(ensemble=("other",))
    async with house(tiered(tmp_path, rules), one, other, ear()) as home:
        await transcribed(home, Choice(provider="one"))

        assert (told(one), told(other)) == ([None], ["th"])


async def test_a_candidate_behind_the_first_of_a_stream_is_told_the_language(
    tmp_path: Path,
) -> None:
    """As it is told in an answer."""
    one, other = provider("one", then=down("one")), provider("other", **PLAIN)
    rules = TierPolicy(fallback_chain=("other",))
    async with house(tiered(tmp_path, rules), one, other, ear()) as home:
        await streamed(home, Choice(provider="one"))

        assert told(other) == ["th"]


async def test_a_revised_transcript_is_revised_once(tmp_path: Path) -> None:
    """Also where the language has to be told to the one that hears."""
    reviser, thai = Reviser(), provider("thai", **PLAIN)
    rules = TierPolicy(fallback_chain=("thai",))
    async with house(tiered(tmp_path, rules), reviser, thai, ear()) as home:
        transcript, _ = await transcribed(home, Choice(provider="reviser"))

        assert (transcript.text, told(thai)) == ("by thai revised", ["th"])
        assert len(reviser.asked) == 1


# Teams


@pytest.mark.parametrize("allowed", ["fake:one", "best"])
async def test_a_chain_of_the_request_does_not_lead_around_the_allow_list(
    tmp_path: Path, allowed: str
) -> None:
    """That the requested model is allowed says nothing of others."""
    fake, dear = provider("fake", then=down("fake")), provider("dear")
    config = tiered(
        tmp_path,
        TierPolicy(),
        models={"best": Model(chain=("fake:one",))},
        teams={"acme": Team(allowed_models=(allowed,))},
    )
    choice = Choice(model=allowed, rules=TierPolicy(fallback_chain=("dear",)))
    async with house(config, fake, dear) as home:
        with pytest.raises(AllCandidatesFailedError):
            await transcribed(home, choice, language="en")

        assert dear.calls == []


async def test_ears_are_not_lent_around_the_allow_list(tmp_path: Path) -> None:
    """A reviser that is allowed does not open the way to all that hear."""
    config = tiered(tmp_path, TierPolicy(), teams={"acme": Team(allowed_models=("reviser:one",))})
    dear = provider("dear")
    async with house(config, Reviser(), dear) as home:
        with pytest.raises(UnsupportedOptionError):
            await transcribed(home, Choice(model="reviser:one"), language="en")

        assert dear.calls == []


# Races and votes that fail


@pytest.mark.parametrize("first", [down, rejects])
async def test_a_hedge_of_which_nobody_answers_fails_for_both(tmp_path: Path, first: Any) -> None:
    """One broke and one refused: that is not the caller's fault."""
    second = rejects if first is down else down
    one, other = provider("one", then=first("one")), provider("other", then=second("other"))
    rules = TierPolicy(provider_preference=("one", "other"), hedge=True)
    async with house(tiered(tmp_path, rules), one, other) as home:
        with pytest.raises(AllCandidatesFailedError) as caught:
            await transcribed(home, language="en")

        assert {cause.provider for cause in caught.value.causes} == {"one", "other"}


@pytest.mark.parametrize("first", [down, rejects])
async def test_an_ensemble_of_which_nobody_answers_fails_for_all(
    tmp_path: Path, first: Any
) -> None:
    """Likewise."""
    second = rejects if first is down else down
    one, other = provider("one", then=first("one")), provider("other", then=second("other"))
    rules = TierPolicy(provider_preference=("one",), ensemble=("other",))
    async with house(tiered(tmp_path, rules), one, other) as home:
        with pytest.raises(AllCandidatesFailedError) as caught:
            await transcribed(home, language="en")

        assert {cause.provider for cause in caught.value.causes} == {"one", "other"}


async def test_a_single_ear_behind_a_reviser_is_not_hedged(tmp_path: Path) -> None:
    """There is nobody to hedge with, and its own error is what the caller gets."""
    one = provider("one", then=down("one"))
    rules = TierPolicy(fallback_chain=("one",), hedge=True)
    async with house(tiered(tmp_path, rules), Reviser(), one) as home:
        with pytest.raises(AllCandidatesFailedError):
            await transcribed(home, Choice(provider="reviser"), language="en")

        assert len(one.calls) == 1


# Streams


class Unfinished(FakeTranscriber):
    """Ends its streams without the whole transcript."""

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        yield TranscriptDelta(text="and then")


async def test_a_stream_without_its_end_is_a_failure(tmp_path: Path) -> None:
    """No silent cut, and no charge."""
    async with house(settings(tmp_path), Unfinished()) as home:
        with pytest.raises(ProviderAnswerError):
            await streamed(home, Choice(model="fake:one"), language="en")

        assert [(outcome, frames) for outcome, frames, _ in await charges(home)] == [
            ("ProviderAnswerError", 0)
        ]


async def test_a_reviser_in_a_stream_revises(tmp_path: Path) -> None:
    """It has the whole text before it can begin, so it comes in one piece."""
    async with house(settings(tmp_path), Reviser(), provider("one")) as home:
        events = await streamed(home, Choice(provider="reviser"), language="en")

        assert [event.text for event in events] == ["by one revised"] * 2


# Memory


@pytest.fixture(name="left")
def _left() -> Iterator[set[int]]:
    gc.collect()
    gc.disable()
    yield {id(one) for one in clips()}
    gc.enable()


def clips() -> list[object]:
    return [one for one in gc.get_objects() if type(one) in {Clip, Ticket}]


@pytest.mark.parametrize("steps", [("down", "down"), ("down", "says"), ("says", "down")])
@pytest.mark.parametrize("how", ["hedge", "ensemble"])
async def test_no_circle_keeps_the_upload(
    tmp_path: Path,
    left: set[int],
    how: Literal["hedge", "ensemble"],
    steps: tuple[str, str],
) -> None:
    """Whoever of two fails."""
    one, other = (
        provider(name, then=down(name) if step == "down" else Say("yes"))
        for name, step in zip(("one", "other"), steps, strict=True)
    )
    together: dict[str, Any] = {"hedge": True} if how == "hedge" else {"ensemble": ("other",)}
    rules = TierPolicy(provider_preference=("one", "other"), **together)
    async with house(tiered(tmp_path, rules), one, other) as home:
        await tried(home)
        for fake in (one, other):
            fake.calls.clear()
        await asyncio.sleep(0)

        assert [type(one).__name__ for one in clips() if id(one) not in left] == []


async def tried(home: House) -> None:
    try:
        await transcribed(home, language="en")
    except JunctorError:
        return
