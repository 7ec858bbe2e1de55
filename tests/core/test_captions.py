"""Captions of a client, utterance after utterance: nothing lost, nothing twice, all of it charged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from attrs import define, evolve, field

from junctor.conf.settings import Breaker, Live, Model, Team
from junctor.conf.settings import Policy as PolicySettings
from junctor.core.captioned import Caption, CaptionEvent, SpeechStarted, WasReset
from junctor.core.captions import MAX_EVENTS, Captions
from junctor.core.errors import (
    AllCandidatesFailedError,
    InsufficientBalanceError,
    InvalidRequestError,
    ProviderUnavailableError,
)
from junctor.core.hooks import hookimpl
from junctor.core.plans import Choice
from junctor.core.requests import LiveRequest, Rolling, Window
from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.transcripts import Transcript
from tests.core.test_gateway import House, house, settings
from tests.fakes.listeners import GAP, WORD, Act, Listener, pause, spoken, words
from tests.fakes.windows import WindowListener
from tests.waiting import until

ROLLING = Rolling(interval=0.04, least=0.1, window=1.0)
SPOKEN = WORD + GAP
TEAM = Team()


@define
class Client:
    """One session and what came out of it."""

    captions: Captions
    events: list[CaptionEvent] = field(factory=list)
    task: asyncio.Task[None] = field(init=False)

    async def run(self) -> None:
        async for event in self.captions.events():
            self.events.append(event)

    async def say(self, pcm: bytes, size: int = 640) -> None:
        for at in range(0, len(pcm), size):
            await self.captions.hear(pcm[at : at + size])
            await asyncio.sleep(0)

    async def leave(self) -> list[CaptionEvent]:
        await self.captions.finish()
        await self.task
        return self.events

    @property
    def finals(self) -> list[Caption]:
        return [one for one in self.captioned if one.is_final]

    @property
    def captioned(self) -> list[Caption]:
        return [event for event in self.events if isinstance(event, Caption)]


def said(caption: Caption) -> list[str]:
    return caption.text.split()


async def planned(
    home: House, stack: AsyncExitStack, *, rate: int = 16_000, has_voice: bool = False
) -> Captions:
    return await Captions.planned(
        home.gateway,
        await stack.enter_async_context(await home.admit()),
        request=LiveRequest(language="en", rolling=ROLLING),
        choice=Choice(model="captions"),
        sample_rate=rate,
        has_voice=has_voice,
    )


@asynccontextmanager
async def session(
    folder: Path,
    *models: Listener | WindowListener | FakeTranscriber,
    rate: int = 16_000,
    has_voice: bool = False,
    team: Team = TEAM,
    plugin: object | None = None,
) -> AsyncIterator[tuple[Client, House]]:
    """Open a session over these models in order, and close its ticket as a router would."""
    chain = tuple(f"{one.name}:{one.models()[0].id}" for one in models)
    config = settings(
        folder,
        models={"captions": Model(chain=chain)},
        policy=PolicySettings(backoff=0.001),
        live=Live(rounds=1),
        teams={"acme": team},
    )
    async with (
        house(config, *models, plugin=plugin) as home,
        await home.admit() as ticket,
    ):
        client = Client(
            await Captions.planned(
                home.gateway,
                ticket,
                request=LiveRequest(language="en", rolling=ROLLING),
                choice=Choice(model="captions"),
                sample_rate=rate,
                has_voice=has_voice,
            )
        )
        client.task = asyncio.create_task(client.run())
        try:
            yield client, home
        finally:
            client.task.cancel()
            await asyncio.wait([client.task])


async def test_captions_then_a_final(tmp_path: Path) -> None:
    """Captions grow, say who answers and what it took; the final has all, pause after pause."""
    async with session(tmp_path, WindowListener()) as (client, _):
        await client.say(spoken(10) + pause(0.8) + spoken(10, first=10))
        await client.captions.end()
        await client.leave()
    first, final = client.captioned[0], client.finals[0]

    assert said(final) == words(20)
    assert [segment.text.split() for segment in final.segments] == [words(10), words(20)[10:]]
    assert final.audio == pytest.approx((20 * SPOKEN + 12_800) / 16_000)
    assert (first.provider, first.model, final.provider) == ("w", "windows", "w")
    assert final.timing is not None
    assert 0 < final.latency < 5


async def test_many_utterances_on_one_session(tmp_path: Path) -> None:
    """Each `end` makes one final, in order, with times of its own, also while others are decoded."""
    async with session(tmp_path, WindowListener()) as (client, _):
        for number in range(5):
            await client.captions.hear(spoken(4, first=4 * number))
            await client.captions.end()
        await client.leave()

    assert [said(final) for final in client.finals] == [
        words(20)[at : at + 4] for at in range(0, 20, 4)
    ]
    assert all(final.segments[0].start == 0 for final in client.finals)


async def test_an_utterance_in_which_nothing_is_said(tmp_path: Path) -> None:
    """An end without audio, or with silence alone, has an empty final."""
    async with session(tmp_path, WindowListener()) as (client, _):
        await client.captions.end()
        await client.say(pause(1))
        await client.captions.end()
        await client.leave()

    assert [(final.text, final.audio) for final in client.finals] == [("", 0.0), ("", 1.0)]


async def test_reset_forgets_the_utterance_under_way(tmp_path: Path) -> None:
    """What was said before the reset is in no final; what comes after it is."""
    async with session(tmp_path, WindowListener()) as (client, _):
        await client.captions.hear(spoken(4))
        await client.captions.end()
        await client.say(spoken(4, first=50))
        await client.captions.reset()
        await client.captions.hear(spoken(3, first=10))
        await client.captions.end()
        await client.leave()
    kinds = [
        event for event in client.events if isinstance(event, WasReset) or event in client.finals
    ]

    assert [said(final) for final in client.finals] == [words(4), words(13)[10:]]
    assert isinstance(kinds[1], WasReset)


async def test_a_flush_is_a_caption_of_what_is_there(tmp_path: Path) -> None:
    """Of speech, of silence, of nothing; with a model that makes no captions when asked, too."""
    async with session(tmp_path, WindowListener()) as (client, _):
        client.captions.flush()
        await client.captions.hear(spoken(6))
        client.captions.flush()
        await until(lambda: len(client.captioned) >= 2 and client.captioned[-1].is_flush)
        await client.captions.end()
        await client.leave()
    flushed = [one for one in client.captioned if one.is_flush]

    assert [said(one) for one in flushed] == [[], words(6)]


async def test_a_vendor_that_listens_live(tmp_path: Path) -> None:
    """Stability is found from its texts, and a flush shows its last caption again."""
    listener = Listener("a", Act(final_every=0))
    async with session(tmp_path, listener) as (client, _):
        await client.say(spoken(12))
        await until(lambda: bool(client.captioned) and client.captioned[-1].stable != "")
        client.captions.flush()
        await client.captions.end()
        await client.leave()
    stable = [one for one in client.captioned if one.stable]

    assert said(client.finals[0]) == words(12)
    assert stable[0].text.startswith(stable[0].stable)
    assert sum(one.is_flush for one in client.captioned) == 1


async def test_speech_is_told_when_it_begins(tmp_path: Path) -> None:
    """Before any caption, with its place in the utterance; Silero decides, and music is none."""
    from tests.plugins.local.voices import say

    pcm = say("the weather is very nice").data[44:]
    async with session(tmp_path, WindowListener(), has_voice=True) as (client, _):
        await client.say(pcm)
        await client.captions.end()
        await client.leave()
    first = client.events[0]

    assert isinstance(first, SpeechStarted)
    assert 0.4 < first.offset < 0.8
    assert 0 <= first.latency < 1
    assert sum(isinstance(event, SpeechStarted) for event in client.events) == 1


async def test_the_next_one_goes_on_in_the_middle(tmp_path: Path) -> None:
    """A model that breaks in the middle of speech costs no word; the final says who answered."""
    broken: list[object] = []

    def breaks(windows: Sequence[Window]) -> None:
        broken.append(windows)
        if len(broken) > 3:
            raise ProviderUnavailableError("Killed.", provider="w")

    first, second = WindowListener("w", before=breaks), WindowListener("v")
    async with session(tmp_path, first, second) as (client, _):
        await client.say(spoken(30))
        await client.captions.end()
        await client.leave()

    assert said(client.finals[0]) == words(30)
    assert (client.captioned[0].provider, client.finals[0].provider) == ("w", "v")


async def test_a_crash_under_many_sessions_costs_none_of_them(tmp_path: Path) -> None:
    """All lose their model at once, and go on when it is back: its breaker stays closed."""
    crashed: list[float] = []

    def crash(windows: Sequence[Window]) -> None:
        if len(windows) > 6 and not crashed:
            crashed.append(monotonic() + 0.2)
        if crashed and (left := crashed[0] - monotonic()) > 0:
            raise ProviderUnavailableError("Killed.", provider="w", retry_after=left)

    model = WindowListener(before=crash, batch=16)
    config = settings(
        tmp_path,
        models={"captions": Model(chain=("w:windows",))},
        breaker=Breaker(open_for=300.0),
    )
    async with house(config, model) as home, AsyncExitStack() as stack:
        clients = [Client(await planned(home, stack)) for _ in range(10)]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        for number in range(40):
            await asyncio.gather(*(one.captions.hear(spoken(1, first=number)) for one in clients))
            await asyncio.sleep(0)
        await asyncio.gather(*(one.captions.finish() for one in clients), *tasks)

    assert crashed
    assert all(said(client.finals[-1]) == words(40) for client in clients)


async def test_nobody_is_left(tmp_path: Path) -> None:
    """What was heard is told as a final, then the error."""

    def breaks(windows: Sequence[Window]) -> None:
        if any(len(window.pcm) > 12 * 2 * SPOKEN for window in windows):
            raise ProviderUnavailableError("Down.", provider="w")

    async with session(tmp_path, WindowListener(before=breaks)) as (client, _):
        await client.say(spoken(10) + pause(0.8) + spoken(20, first=10))
        with pytest.raises(AllCandidatesFailedError):
            await client.task

    assert said(client.finals[-1])[:10] == words(10)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
async def test_what_had_a_text_is_charged_to_the_sample(tmp_path: Path, rate: int) -> None:
    """All utterances with a final, at the client's own rate; what was said behind them is not."""
    frames = rate // 50 * 7
    async with session(tmp_path, WindowListener(), rate=rate) as (client, home):
        for _ in range(3):
            await client.captions.hear(bytes(2 * frames))
            await client.captions.end()
        await until(lambda: len(client.finals) == 3)
        await client.captions.hear(bytes(2 * frames))
        await until(lambda: client.captions.ticket.served_frames == 3 * frames)
    # The ticket is closed while the house stands: its entry is folded by then.
    del home

    assert client.captions.ticket.is_closed
    assert client.captions.ticket.served_frames == 3 * frames


async def test_half_a_sample(tmp_path: Path) -> None:
    """An odd count of bytes is refused, and nothing of it is taken."""
    async with session(tmp_path, WindowListener()) as (client, _):
        await client.captions.hear(spoken(2))
        with pytest.raises(InvalidRequestError):
            await client.captions.hear(spoken(1)[:-1])
        await client.captions.hear(spoken(2, first=2))
        await client.captions.end()
        await client.leave()

    assert said(client.finals[0]) == words(4)


async def test_the_day_is_used_up(tmp_path: Path) -> None:
    """The piece that is too much is refused; what was heard can still be finished."""
    models = WindowListener()
    async with session(tmp_path, models, team=Team(audio_seconds_per_day=0.5)) as (client, _):
        await client.captions.hear(spoken(10))
        with pytest.raises(InsufficientBalanceError):
            await client.captions.hear(spoken(10, first=10))
        await client.leave()

    assert said(client.finals[0]) == words(10)


async def test_a_client_that_leaves_stops_the_work(tmp_path: Path) -> None:
    """Nothing is decoded for nobody."""
    model = WindowListener(before=lambda _: asyncio.Event().wait())
    async with session(tmp_path, model) as (client, _):
        await client.captions.hear(spoken(20))
        await until(lambda: model.running == 1)
        client.task.cancel()
        await until(lambda: not model.running)

    assert model.cancelled == 1


async def test_captions_that_nobody_reads_do_not_pile_up(tmp_path: Path) -> None:
    """A newer caption takes the place of one that waits; finals all stay."""
    async with session(tmp_path, WindowListener()) as (client, _):
        client.task.cancel()
        await asyncio.wait([client.task])
        events = client.captions.events()
        reading = asyncio.ensure_future(anext(events))
        await client.say(spoken(10))
        await reading
        for number in range(3):
            await client.say(spoken(30, first=40 * number))
            await client.captions.end()
        await client.captions.finish()
        rest = [event async for event in events]

    assert len(rest) <= 8
    assert sum(event.is_final for event in rest if isinstance(event, Caption)) == 3


async def test_answers_that_nobody_reads_do_not_pile_up(tmp_path: Path) -> None:
    """A client that asks without end and does not read has to wait, and misses nothing then."""
    async with session(tmp_path, WindowListener()) as (client, _):
        client.task.cancel()
        await asyncio.wait([client.task])
        events = client.captions.events()
        reading = asyncio.ensure_future(anext(events))
        await client.captions.end()
        await reading
        asking = asyncio.create_task(ask_without_end(client.captions))
        done, _ = await asyncio.wait([asking], timeout=0.5)
        held = len(client.captions._events) + len(client.captions._queue)
        collecting = asyncio.create_task(collect(events, client.events))
        await asking
        await client.captions.finish()
        await collecting

    assert (not done, held < 3 * MAX_EVENTS) == (True, True)
    assert sum(isinstance(event, WasReset) for event in client.events) == 300
    assert len(client.finals) == 300


async def ask_without_end(captions: Captions) -> None:
    for _ in range(300):
        captions.flush()
        await captions.end()
        await captions.hear(spoken(1))
        await captions.reset()


async def collect(events: AsyncIterator[CaptionEvent], found: list[CaptionEvent]) -> None:
    found.extend([event async for event in events])


async def test_a_flush_tells_the_age_of_what_it_hears(tmp_path: Path) -> None:
    """Long after the last final nothing was decoded: its times are not told again."""
    async with session(tmp_path, WindowListener()) as (client, _):
        await client.say(spoken(6) + pause(1))
        await until(lambda: any(one.timing for one in client.captioned if one.segments))
        await asyncio.sleep(0.3)
        await client.say(pause(0.1))
        client.captions.flush()
        await until(lambda: client.captioned[-1].is_flush)
        await client.captions.end()
        await client.leave()
    flushed = next(one for one in client.captioned if one.is_flush)

    assert said(flushed) == words(6)
    assert (flushed.timing, flushed.latency < 0.2) == (None, True)


async def test_a_flush_of_a_model_without_captions(tmp_path: Path) -> None:
    """A model that only transcribes recordings makes none: what is there is shown at once."""
    async with session(tmp_path, FakeTranscriber("t")) as (client, _):
        await client.say(spoken(6))
        client.captions.flush()
        await until(lambda: client.captioned)
        await client.captions.end()
        await client.leave()

    assert [one.is_flush for one in client.captioned[:1]] == [True]


async def test_the_next_utterance_goes_on_trying(tmp_path: Path) -> None:
    """A model that cannot be opened for a moment does not end a session that it has served."""
    refuse = Act(fails="refuse")
    async with session(tmp_path, Listener("a", Act(), refuse, refuse, Act())) as (client, _):
        for number in range(2):
            await client.captions.hear(spoken(4, first=4 * number))
            await client.captions.end()
        await client.leave()

    assert [said(final) for final in client.finals] == [words(4), words(8)[4:]]


class Capitals:
    """A plugin that writes every transcript in capitals."""

    @hookimpl
    def junctor_transcript(self, transcript: Transcript, wish: object) -> Transcript:
        return evolve(transcript, text=transcript.text.upper())


async def test_plugins_have_their_say_in_finals(tmp_path: Path) -> None:
    """What post-processes transcripts does so with each utterance, too."""
    async with session(tmp_path, WindowListener(), plugin=Capitals()) as (client, _):
        await client.captions.hear(spoken(3))
        await client.captions.end()
        await client.leave()

    assert client.finals[0].text == "W0 W1 W2"
