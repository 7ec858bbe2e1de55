"""Transcripts are compared behind the answers: nobody waits for it, nobody is charged for it."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve
from msgspec.structs import replace

from junctor.conf.settings import (
    Model,
    Policy,
    Quality,
    Settings,
    Storage,
    Team,
    TierPolicy,
)
from junctor.conf.settings import Telemetry as TelemetrySettings
from junctor.core.complaints import Complaints
from junctor.core.errors import ProviderUnavailableError
from junctor.core.plans import Choice
from junctor.core.providers import Provider
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.runtime import Runtime
from junctor.core.telemetry import Telemetry
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, Step, fake_card
from junctor.core.tickets import Ticket
from tests.fakes.plugins import Offering, plugins
from tests.waiting import until

CLIP = silent_clip(2.0)
ALL = Quality(sample_share=1.0)


@define
class House:
    """A running server with `fake:one` and, behind it in the chain `best`, `spare:two`."""

    runtime: Runtime
    offering: Offering
    key: str

    async def admit(self) -> Ticket:
        return await self.runtime.gateway.admit(
            contract="test", operation="transcribe", credential=self.key
        )

    async def transcribe(self, **more: Any) -> str:
        async with await self.admit() as ticket:
            return await self.heard(ticket, **more)

    async def heard(self, ticket: Ticket, **more: Any) -> str:
        gateway = self.runtime.gateway
        clip = await gateway.open_clip(ticket, CLIP.data, filename="a.wav")
        request = evolve(TranscribeRequest(audio=clip, language="en"), **more)
        return (await gateway.transcribe(ticket, request, Choice(model="best"))).text

    def sample(self, name: str, **labels: str) -> float:
        registry = self.runtime.telemetry.metrics.registry
        return registry.get_sample_value(f"junctor_{name}", labels) or 0.0

    def noted(self, who: str, source: str = "sample") -> tuple[float, float]:
        """Return how many disagreements were noted, and their sum."""
        provider, model = who.split(":")
        labels = {"provider": provider, "model": model, "source": source}
        names = ("wer_proxy_count", "wer_proxy_sum")
        count, total = (self.sample(name, **labels) for name in names)
        return count, round(total, 3)


def fakes(first: Step, second: Step) -> tuple[FakeTranscriber, FakeTranscriber]:
    cards = [fake_card("two", provider="spare")]
    return FakeTranscriber(then=first), FakeTranscriber("spare", cards=cards, then=second)


@asynccontextmanager
async def house(
    folder: Path, *providers: Provider, quality: Quality = ALL, **more: Any
) -> AsyncIterator[House]:
    models = {"best": Model(chain=("fake:one", "spare:two"))}
    storage = Storage(data_dir=str(folder))
    config = Settings(storage=storage, models=models, quality=quality, **more)
    offering = Offering(*providers)
    runtime = Runtime(
        config,
        plugins(config, fake=offering),
        telemetry=Telemetry(TelemetrySettings()),
        complaints=Complaints(),
    )
    async with runtime:
        key = await runtime.gateway.accounts.create_key("acme")
        yield House(runtime, offering, key)


async def test_a_sample_notes_both_sides(tmp_path: Path) -> None:
    """Each one's errors against the other: an insertion in two words, a deletion in three."""
    async with house(tmp_path, *fakes(Say("good old morning"), Say("good morning"))) as home:
        await home.transcribe()
        await until(lambda: home.noted("spare:two")[0])

        assert home.noted("fake:one") == (1, 0.5)
        assert home.noted("spare:two") == (1, 0.333)


async def test_an_invention_over_silence_counts_once(tmp_path: Path) -> None:
    """A rate over one would drown all the others."""
    async with house(tmp_path, *fakes(Say("thank you for watching"), Say(""))) as home:
        await home.transcribe()
        await until(lambda: home.noted("spare:two")[0])

        assert home.noted("fake:one") == (1, 1.0)


async def test_the_answer_does_not_wait(tmp_path: Path) -> None:
    """The other one hangs, and is stopped at the end of the server."""
    first, second = fakes(Say("hello"), Hang())
    async with house(tmp_path, first, second) as home:
        text = await home.transcribe()
        await second.called()

    assert (text, second.calls[0].outcome) == ("hello", "cancelled")


async def test_nobody_pays_for_a_sample(tmp_path: Path) -> None:
    """The team's ledger knows of one attempt; the operator sees the other's seconds."""
    async with house(tmp_path, *fakes(Say("hello"), Say("hello"))) as home:
        async with await home.admit() as ticket:
            await home.heard(ticket)
        await until(lambda: home.noted("spare:two")[0])

        assert (ticket.attempts, ticket.provider) == (1, "fake")
        assert home.sample("sampled_audio_seconds_total", provider="spare", model="two") == 2.0


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": Quality()},
        {"quality": Quality(sample_share=1.0, sample_seconds_max=1.0)},
        {"team_defaults": Team(allowed_models=("fake:one",))},
        {"policy": Policy(max_candidates=1)},
    ],
    ids=["share", "length", "allow-list", "plan"],
)
async def test_who_is_not_to_hear_it_does_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    """No share by default, no long recording, nobody whom the plan leaves out."""
    first, second = fakes(Say("hello"), Say("hello"))
    async with house(tmp_path, first, second, **changes) as home:
        await home.transcribe()

    assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_a_translation_is_not_compared(tmp_path: Path) -> None:
    """Two good ones may share no word."""
    first, second = fakes(Say("hello"), Say("good day"))
    async with house(tmp_path, first, second) as home:
        await home.transcribe(task=Task.TRANSLATE)

    assert second.calls == []


async def test_samples_are_bounded(tmp_path: Path) -> None:
    """While two are under way, no other recording is sampled."""
    first, second = fakes(Say("hello"), Hang())
    async with house(tmp_path, first, second) as home:
        for _ in range(5):
            await home.transcribe()
        await second.called(2)

    assert (len(first.calls), len(second.calls)) == (5, 2)


async def test_a_sample_that_fails_is_none(tmp_path: Path) -> None:
    """It gives its place to the next one, and nothing is noted."""
    down = Fail(ProviderUnavailableError("down", provider="spare"))
    first, second = fakes(Say("hello"), Say("hello"))
    second.script.append(down)
    policy = Policy(attempts_per_candidate=1)
    one = Quality(sample_share=1.0, sample_concurrency=1)
    async with house(tmp_path, first, second, quality=one, policy=policy) as home:
        await home.transcribe()
        await second.settled()
        while not home.noted("spare:two")[0]:
            await home.transcribe()

        assert home.noted("fake:one") == home.noted("spare:two")


async def test_a_fallback_is_compared_with_who_comes_behind_it(tmp_path: Path) -> None:
    """The one that has just failed is not asked again: here, nobody is left."""
    down = Fail(ProviderUnavailableError("down", provider="fake"))
    first, second = fakes(down, Say("hello"))
    async with house(tmp_path, first, second, policy=Policy(attempts_per_candidate=1)) as home:
        await home.transcribe()

    assert (len(first.calls), len(second.calls)) == (1, 1)


def changed(settings: Settings) -> Settings:
    """Return settings that differ in the plugin's own table, so that it is asked again."""
    return replace(settings, plugins={"fake": {"changed": True}})


async def test_a_reload_waits_for_a_sample(tmp_path: Path) -> None:
    """A provider that is gone from the settings is closed when it has answered, not before."""
    first, second = fakes(Say("hello"), Hang())
    async with house(tmp_path, first, second) as home:
        await home.transcribe()
        await second.called()
        home.offering.offered.remove(second)
        await home.runtime.reload(changed(home.runtime.settings))
        closed_under_it = second.closes

    assert (closed_under_it, second.closes) == (0, 1)


async def test_an_old_request_is_not_sampled(tmp_path: Path) -> None:
    """What it was planned with may close when it ends, so the other one is not begun."""
    first, second = fakes(Say("hello"), Say("hello"))
    async with house(tmp_path, first, second) as home, await home.admit() as ticket:
        await home.runtime.reload(changed(home.runtime.settings))
        await home.heard(ticket)

    assert second.calls == []


async def test_who_has_to_be_told_is_told_what_was_heard(tmp_path: Path) -> None:
    """The language of the answer stands for the one that nobody gave."""
    cards = [evolve(fake_card("two", provider="spare"), features=frozenset())]
    second = FakeTranscriber("spare", cards=cards)
    first = FakeTranscriber(then=Say("hola", language="es"))
    async with house(tmp_path, first, second) as home:
        await home.transcribe(language=None)
        call = await second.settled()

    assert isinstance(call.request, TranscribeRequest)
    assert call.request.language == "es"


async def test_a_stream_is_sampled_too(tmp_path: Path) -> None:
    """By its whole transcript; the other one hears the recording in one piece."""
    async with house(tmp_path, *fakes(Say("a b"), Say("a c"))) as home:
        gateway = home.runtime.gateway
        async with await home.admit() as ticket:
            clip = await gateway.open_clip(ticket, CLIP.data, filename="a.wav")
            request = TranscribeRequest(audio=clip, language="en")
            stream = gateway.stream_transcribe(ticket, request, Choice(model="best"))
            async with aclosing(stream) as events:
                assert [event async for event in events]
        await until(lambda: home.noted("spare:two")[0])

        assert home.noted("fake:one") == (1, 0.5)


async def test_an_ensemble_is_held_against_what_it_elected(tmp_path: Path) -> None:
    """Each member by its own errors; no further one is asked."""
    cards = [fake_card(name) for name in ("one", "two", "three")]
    texts = ("the cat sat", "the cat sat", "the bat sat")
    fake = FakeTranscriber(cards=cards, script=map(Say, texts))
    tier = TierPolicy(ensemble=("fake:two", "fake:three"), provider_preference=("fake:one",))
    policy = Policy(tiers={"medium": tier})
    async with house(tmp_path, fake, policy=policy) as home:
        text = await home.transcribe()
        await until(lambda: home.noted("fake:three", "ensemble")[0])
        noted = [home.noted(f"fake:{name}", "ensemble") for name in ("one", "two", "three")]

    assert (text, noted) == ("the cat sat", [(1, 0), (1, 0), (1, 0.333)])


async def test_transcripts_are_counted_beside_the_empty_ones(tmp_path: Path) -> None:
    """One of two heard nothing."""
    first, second = fakes(Say("hello"), Say("hello"))
    first.script.append(Say(""))
    async with house(tmp_path, first, second, quality=Quality()) as home:
        await home.transcribe()
        await home.transcribe()
        who = {"provider": "fake", "model": "one"}

        assert home.sample("transcripts_total", **who) == 2
        assert home.sample("empty_transcripts_total", **who) == 1
