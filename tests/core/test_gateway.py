"""The way of a request, through a whole runtime with scripted providers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve
from msgspec import convert

from junctor.conf.settings import Limits, Loader, Model, Policy, Settings, Storage, Team
from junctor.conf.settings import Telemetry as TelemetrySettings
from junctor.core.cards import Capability, Feature
from junctor.core.chat.dialect import conversation_of
from junctor.core.complaints import Complaints
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    InsufficientBalanceError,
    OverloadedError,
    ProviderRejectedError,
    ProviderUnavailableError,
    RateLimitedError,
    UnsupportedOptionError,
)
from junctor.core.gateway import Gateway
from junctor.core.plans import Choice
from junctor.core.providers import Provider
from junctor.core.requests import ChatRequest, Task, TranscribeRequest
from junctor.core.runtime import Runtime
from junctor.core.storage.database import Database, database_url
from junctor.core.storage.entries import Entry
from junctor.core.telemetry import Telemetry
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript, TranscriptDelta
from tests.fakes.plugins import Offering, plugins

CLIP = silent_clip(2.0)


@define
class House:
    """A runtime, a key to it, and what its ledger says."""

    runtime: Runtime
    key: str

    @property
    def gateway(self) -> Gateway:
        return self.runtime.gateway

    async def admit(self) -> Ticket:
        return await self.gateway.admit(
            contract="test", operation="transcribe", credential=self.key, request_id="r1"
        )

    async def transcribe(self, model: str = "fake:one", **more: Any) -> tuple[Transcript, Ticket]:
        async with await self.admit() as ticket:
            clip = await self.gateway.open_clip(ticket, CLIP.data, filename="a.wav")
            request = evolve(TranscribeRequest(audio=clip, language="en"), **more)
            return await self.gateway.transcribe(ticket, request, Choice(model=model)), ticket

    async def stream(self, ticket: Ticket) -> AsyncIterator[object]:
        clip = await self.gateway.open_clip(ticket, CLIP.data, filename="a.wav")
        request = TranscribeRequest(audio=clip, language="en")
        events = self.gateway.stream_transcribe(ticket, request, Choice(model="fake:one"))
        async with aclosing(events):
            async for event in events:
                yield event

    async def entries(self) -> list[Entry]:
        """Fold the journal and read the ledger as an operator would."""
        await self.gateway.ledger.fold()
        fields = Entry.__struct_fields__
        database = Database(database_url(self.runtime.settings.storage))
        rows = await database.fetch(f"SELECT {', '.join(fields)} FROM ledger_entries ORDER BY id")
        await database.close()
        return [convert(dict(zip(fields, row, strict=True)), Entry) for row in rows]


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(storage=Storage(data_dir=str(folder)), **more)


@asynccontextmanager
async def house(
    config: Settings, *providers: Provider, plugin: object | None = None
) -> AsyncIterator[House]:
    more = {} if plugin is None else {"more": plugin}
    loaded = plugins(config, fake=Offering(*providers), **more)
    runtime = Runtime(
        config, loaded, telemetry=Telemetry(TelemetrySettings()), complaints=Complaints()
    )
    async with runtime:
        yield House(runtime, await runtime.gateway.accounts.create_key("acme"))


Charge = tuple[str, int, int]


async def charges(home: House) -> list[Charge]:
    """Return outcome, frames and attempts of every entry in the ledger."""
    return [(one.outcome, one.frames, one.attempts) for one in await home.entries()]


async def test_an_answer_is_charged_for_its_media_once(tmp_path: Path) -> None:
    """The frames of the media itself, whoever answered."""
    async with house(settings(tmp_path), FakeTranscriber(then=Say("hi"))) as home:
        transcript, ticket = await home.transcribe()
        await ticket.close()

        assert (transcript.text, await charges(home)) == ("hi", [("ok", 32_000, 1)])


async def test_a_fallback_is_charged_once_with_its_attempts(tmp_path: Path) -> None:
    """Two attempts, one charge, at the model that answered."""
    refused = ProviderRejectedError("No.", provider="fake")
    broken = FakeTranscriber("fake", then=Fail(refused))
    spare = FakeTranscriber("spare", cards=[fake_card("two", provider="spare")])
    config = settings(tmp_path, models={"best": Model(chain=("fake:one", "spare:two"))})
    async with house(config, broken, spare) as home:
        _, ticket = await home.transcribe("best")

        assert (ticket.provider, ticket.attempts) == ("spare", 2)
        assert await charges(home) == [("ok", 32_000, 2)]


async def test_a_failure_is_not_charged(tmp_path: Path) -> None:
    """Nothing served, nothing charged, and the ledger knows why."""
    down = ProviderUnavailableError("Down.", provider="fake")
    config = settings(tmp_path, policy=Policy(backoff=0.001))
    async with house(config, FakeTranscriber(then=Fail(down))) as home:
        with pytest.raises(AllCandidatesFailedError):
            await home.transcribe()

        assert await charges(home) == [("AllCandidatesFailedError", 0, 0)]


async def test_the_card_prices_the_cost(tmp_path: Path) -> None:
    """US dollars a minute, of the model that answered."""
    dear = evolve(fake_card(), price=0.6)
    async with house(settings(tmp_path), FakeTranscriber(cards=[dear])) as home:
        await home.transcribe()

        assert [entry.cost for entry in await home.entries()] == [20_000_000]


async def test_runs_of_a_job_share_a_charge(tmp_path: Path) -> None:
    """Its entry is known by the job, so that runs which know nothing of each other are one row."""
    async with house(settings(tmp_path), FakeTranscriber()) as home:
        principal = await home.gateway.accounts.authenticate(home.key)
        for _ in range(2):
            ticket = await home.gateway.resume(
                principal, contract="test", operation="job", request_id="j", since=0
            )
            ticket.frames, ticket.sample_rate = 24, 24
            async with ticket:
                ticket.serve_all()
        entries = await home.entries()

    assert [one.frames for one in entries if one.id == "job:j"] == [24]
    assert [one.frames for one in entries if one.id != "job:j"] == [0]


async def test_a_client_that_leaves_pays_nothing_and_stops_the_work(tmp_path: Path) -> None:
    """The provider's work is cancelled with the request."""
    fake = FakeTranscriber(then=Hang())
    async with house(settings(tmp_path), fake) as home:
        task = asyncio.create_task(home.transcribe())
        await fake.called()
        task.cancel()
        call = await fake.settled()

        assert (call.outcome, await charges(home)) == ("cancelled", [("cancelled", 0, 0)])


async def test_a_stream_is_charged_when_its_last_item_goes_out(tmp_path: Path) -> None:
    """Deltas first, the transcript last; then it is settled."""
    async with house(settings(tmp_path), FakeTranscriber(then=Say("one two"))) as home:
        async with await home.admit() as ticket:
            events = [event async for event in home.stream(ticket)]

        assert "".join(e.text for e in events if isinstance(e, TranscriptDelta)) == "one two"
        assert isinstance(events[-1], Transcript)
        assert await charges(home) == [("ok", 32_000, 1)]


async def test_a_stream_that_breaks_is_not_charged(tmp_path: Path) -> None:
    """The error reaches the contract, which tells the client in its own shape."""
    fails = Fail(ProviderUnavailableError("Gone.", provider="fake"), items=1)
    async with house(settings(tmp_path), FakeTranscriber(then=fails)) as home:
        with pytest.raises(ProviderUnavailableError):
            await drain(home)

        assert await charges(home) == [("ProviderUnavailableError", 0, 0)]


async def drain(home: House) -> None:
    async with await home.admit() as ticket:
        async for _ in home.stream(ticket):
            pass


async def test_a_provider_that_cannot_stream_still_serves_a_stream(tmp_path: Path) -> None:
    """One delta with all of the text, then the transcript."""
    card = fake_card(capabilities=[Capability.TRANSCRIBE])
    fake = FakeTranscriber(cards=[card], then=Say("one two"))
    async with house(settings(tmp_path), fake) as home, await home.admit() as ticket:
        events = [event async for event in home.stream(ticket)]

        assert [type(event) for event in events] == [TranscriptDelta, Transcript]


async def test_translation_goes_over_a_chat_model_when_no_model_translates(tmp_path: Path) -> None:
    """Write it down, then translate; the segment keeps its times."""
    card = evolve(
        fake_card(capabilities=[Capability.TRANSCRIBE]),
        features=frozenset(Feature) - {Feature.TRANSLATION},
    )
    speech = FakeTranscriber(cards=[card], then=Say("bonjour", language="fr"))
    chat_card = fake_card("talk", provider="chat", capabilities=[Capability.CHAT])
    chat = FakeTranscriber("chat", cards=[chat_card], then=Say("good day"))
    async with house(settings(tmp_path), speech, chat) as home:
        transcript, ticket = await home.transcribe(task=Task.TRANSLATE, language="fr")
        asked = chat.requests[0]

        assert (transcript.text, transcript.language) == ("good day", "en")
        assert (transcript.segments[0].start, transcript.segments[0].end) == (0.0, 2.0)
        assert isinstance(asked, ChatRequest)
        assert conversation_of(asked).messages[-1].text == "bonjour"
        assert ticket.attempts == 2


async def test_a_chat_model_that_does_not_translate_is_not_asked_to(tmp_path: Path) -> None:
    """Only a chat model whose card says so translates what others wrote down."""
    features = frozenset(Feature) - {Feature.TRANSLATION}
    speech = evolve(fake_card(capabilities=[Capability.TRANSCRIBE]), features=features)
    talk = evolve(fake_card("talk", capabilities=[Capability.CHAT]), features=features)
    async with house(settings(tmp_path), FakeTranscriber(cards=[speech, talk])) as home:
        with pytest.raises(UnsupportedOptionError, match="translation"):
            await home.transcribe(task=Task.TRANSLATE)


async def test_translation_without_any_way_says_so(tmp_path: Path) -> None:
    """No model that translates, no chat model: a clear refusal, nothing charged."""
    card = evolve(
        fake_card(capabilities=[Capability.TRANSCRIBE]),
        features=frozenset(Feature) - {Feature.TRANSLATION},
    )
    async with house(settings(tmp_path), FakeTranscriber(cards=[card])) as home:
        with pytest.raises(UnsupportedOptionError, match="translation"):
            await home.transcribe(task=Task.TRANSLATE)

        assert [outcome for outcome, _, _ in await charges(home)] == ["UnsupportedOptionError"]


@pytest.mark.parametrize("key", [None, "", "nonsense", "jn_aaaaaaaa_" + "x" * 40])
async def test_without_a_good_key_nothing_is_admitted(tmp_path: Path, key: str | None) -> None:
    """Nothing is reserved either."""
    async with house(settings(tmp_path), FakeTranscriber()) as home:
        with pytest.raises(AuthenticationError):
            await home.gateway.admit(contract="test", operation="x", credential=key, request_id="r")

        assert await home.entries() == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"team_defaults": Team(requests_per_minute=1)}, RateLimitedError),
        ({"team_defaults": Team(concurrency=1)}, ConcurrencyLimitedError),
        ({"limits": Limits(max_concurrent_requests=1)}, OverloadedError),
    ],
    ids=["rate", "team", "server"],
)
async def test_every_bound_refuses_the_second_request(
    tmp_path: Path, changes: dict[str, object], kind: type[Exception]
) -> None:
    """The first one is under way and stays so."""
    config = settings(tmp_path, **changes)
    async with house(config, FakeTranscriber()) as home, await home.admit():
        with pytest.raises(kind):
            await home.admit()


async def test_what_admission_took_is_given_back(tmp_path: Path) -> None:
    """A hundred requests one after the other pass bounds of one, failed ones in between."""
    config = settings(
        tmp_path,
        team_defaults=Team(concurrency=1, requests_per_minute=1000),
        limits=Limits(max_concurrent_requests=1, max_buffered_bytes=10),
    )
    async with house(config, FakeTranscriber()) as home:
        for number in range(100):
            ticket = await home.admit()
            ticket.buffer(10)
            await ticket.close(OverloadedError("x") if number % 2 else None)

        assert (home.gateway.load.requests, home.gateway.load.buffered) == (0, 0)


async def test_uploads_in_memory_are_bounded(tmp_path: Path) -> None:
    """The byte that is too much is refused; what was counted before stays counted."""
    config = settings(tmp_path, limits=Limits(max_buffered_bytes=10))
    async with house(config, FakeTranscriber()) as home, await home.admit() as ticket:
        ticket.buffer(10)
        with pytest.raises(OverloadedError):
            ticket.buffer(1)

        assert home.gateway.load.buffered == 10


async def test_the_teams_day_is_bounded_in_seconds_of_audio(tmp_path: Path) -> None:
    """Two clips of two seconds fit into five; the third does not, and is not charged."""
    config = settings(tmp_path, team_defaults=Team(audio_seconds_per_day=5.0))
    async with house(config, FakeTranscriber()) as home:
        await home.transcribe()
        await home.transcribe()
        with pytest.raises(InsufficientBalanceError):
            await home.transcribe()

        assert sum(frames for _, frames, _ in await charges(home)) == 64_000


async def test_the_deadline_ends_a_request_whose_provider_hangs(tmp_path: Path) -> None:
    """One total time, whatever hangs."""
    config = settings(tmp_path, limits=Limits(request_timeout=0.2))
    fake = FakeTranscriber(then=Hang())
    async with house(config, fake) as home:
        with pytest.raises(DeadlineExceededError):
            await home.transcribe()

        assert (await fake.settled()).outcome == "cancelled"


async def test_an_allow_list_of_the_team_limits_its_models(tmp_path: Path) -> None:
    """What a team may not use is not in its list."""
    cards = [fake_card("one"), fake_card("two")]
    config = settings(tmp_path, teams={"acme": Team(allowed_models=("two",))})
    async with house(config, FakeTranscriber(cards=cards)) as home, await home.admit() as ticket:
        seen = ticket.snapshot.models_for(ticket.principal.limits)

        assert [model.name for model in seen] == ["two"]


async def test_an_empty_transcript_is_noted(tmp_path: Path) -> None:
    """Silence is an answer, is charged, and is counted for the operator."""
    async with house(settings(tmp_path), FakeTranscriber(then=Say(""))) as home:
        transcript, _ = await home.transcribe()
        metrics = home.runtime.telemetry.metrics.render().decode()

        assert transcript.is_empty
        assert 'junctor_empty_transcripts_total{model="one",provider="fake"} 1.0' in metrics


async def test_a_reload_swaps_for_new_requests_and_keeps_those_under_way(tmp_path: Path) -> None:
    """The old request ends with the old provider, which is closed after it; not before."""
    old, new = FakeTranscriber(then=Say("old")), FakeTranscriber(then=Say("new"))
    config = settings(tmp_path)
    offering = Offering(old)
    loaded = plugins(config, fake=offering)
    runtime = Runtime(
        config, loaded, telemetry=Telemetry(TelemetrySettings()), complaints=Complaints()
    )
    async with runtime:
        home = House(runtime, await runtime.gateway.accounts.create_key("acme"))
        ticket = await home.admit()
        offering.offered[:] = [new]
        await runtime.reload(settings(tmp_path, plugins={"fake": {"changed": 1}}))
        during = old.closes
        texts = [(await home.transcribe())[0].text]
        clip = await home.gateway.open_clip(ticket, CLIP.data, filename=None)
        request = TranscribeRequest(audio=clip, language="en")
        texts.append((await home.gateway.transcribe(ticket, request, Choice(model="one"))).text)
        await ticket.close()

    assert (texts, during, old.closes, new.closes) == (["new", "old"], 0, 1, 1)


async def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A strict deployment refuses a provider that does not start, and goes on as it was."""
    config = settings(tmp_path)
    offering = Offering(FakeTranscriber())
    runtime = Runtime(
        config,
        plugins(config, fake=offering),
        telemetry=Telemetry(TelemetrySettings()),
        complaints=Complaints(is_quiet=True),
    )
    async with runtime:
        home = House(runtime, await runtime.gateway.accounts.create_key("acme"))
        offering.offered[:] = [FakeTranscriber(start_error=OSError("no"))]
        with pytest.raises(Exception, match="strict"):
            await runtime.reload(
                settings(tmp_path, loader=Loader(strict=True), plugins={"fake": {"x": 1}})
            )
        transcript, _ = await home.transcribe()

        assert (transcript.text, runtime.settings) == ("hello", config)


async def test_two_servers_cannot_share_a_data_folder(tmp_path: Path) -> None:
    """The second one refuses, saying why."""
    config = settings(tmp_path)
    async with house(config, FakeTranscriber()):
        with pytest.raises(ValueError, match="in use by another"):
            async with house(config, FakeTranscriber()):
                pass
