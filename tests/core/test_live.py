"""Live sessions over a plan: whoever fails, and wherever, each word is there exactly once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.conf.settings import Breaker, Live, Policy
from junctor.core.attempts import Attempt
from junctor.core.dispatch import Dispatcher
from junctor.core.ears import IsSpeech, has_speech
from junctor.core.errors import (
    AllCandidatesFailedError,
    ClientGoneError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.health import Health
from junctor.core.live import LiveRun, LiveStarted
from junctor.core.plans import Candidate, Place, Plan
from junctor.core.requests import LiveRequest
from junctor.core.tape import Tape
from junctor.core.transcripts import LiveFinal, LivePartial
from tests.fakes.listeners import GAP, WORD, Act, Listener, chunks, pause, spoken, words
from tests.waiting import until

QUICK = Policy(backoff=0.001, max_attempt=1.0)
BOUNDS = Live(max_speed=1e9, stall=0.05, open_timeout=2.0, rounds=0)
TWICE = msgspec.structs.replace(BOUNDS, rounds=1)


async def anybody(pcm: bytes) -> bool:
    """Take everything for speech: these words are tones."""
    return True


@define
class Bench:
    """A run over listeners in order, and what came of it."""

    listeners: tuple[Listener, ...]
    bounds: Live = BOUNDS
    policy: Policy = QUICK
    attempts: list[Attempt] = field(factory=list)
    events: list[object] = field(factory=list)
    is_speech: IsSpeech = anybody
    run: LiveRun = field(init=False)

    def __attrs_post_init__(self) -> None:
        cards = {one.name: one for one in self.listeners}
        candidates = [
            Candidate(card=one.models()[0], place=Place.REQUESTED) for one in self.listeners
        ]
        self.run = LiveRun(
            dispatcher=Dispatcher(
                health=Health(Breaker()), policy=self.policy, observe=self.attempts.append
            ),
            bounds=self.bounds,
            plan=Plan(candidates=tuple(candidates)),
            tape=Tape(self.bounds.max_replay),
            voice=lambda one, ear, is_replay: cards[one.card.provider].live_transcribe(
                LiveRequest(), ear
            ),
            is_speech=self.is_speech,
        )

    async def hear(self, audio: AsyncIterator[bytes] | bytes) -> list[str]:
        """Run to the end, and return the words that became final."""
        source = chunks(audio) if isinstance(audio, bytes) else audio
        async with self.run.tape.recording(source), aclosing(self.run.events()) as events:
            async for event in events:
                self.events.append(event)
        return self.said

    @property
    def finals(self) -> list[LiveFinal]:
        return [event for event in self.events if isinstance(event, LiveFinal)]

    @property
    def said(self) -> list[str]:
        return " ".join(final.text for final in self.finals).split()

    @property
    def started(self) -> list[str]:
        return [event.provider for event in self.events if isinstance(event, LiveStarted)]


def bench(*acts: Act, **more) -> Bench:
    """Return a bench of one listener for each act, `a`, `b` and so on."""
    names = [chr(ord("a") + number) for number in range(len(acts))]
    return Bench(tuple(Listener(name, act) for name, act in zip(names, acts, strict=True)), **more)


async def test_one_candidate_hears_all():
    """Started comes first, partials grow, finals have every word at its time."""
    test = bench(Act(final_every=2))
    said = await test.hear(spoken(4))
    second = test.finals[1].words[0]

    assert said == words(4)
    assert test.events[0] == LiveStarted(provider="a", model="live")
    assert LivePartial(text="w0 w1", language="en") in test.events
    assert (second.text, round(second.start * 16_000)) == ("w2", 2 * (WORD + GAP))


@pytest.mark.parametrize("failure", ["refuse", "error", "defect", "end", "hang", "deaf"])
async def test_another_goes_on_in_the_middle(failure):
    """However the first one fails, the next one repeats nothing and leaves nothing out."""
    test = bench(Act(fails=failure, after=4, final_every=2), Act(final_every=5))
    said = await test.hear(spoken(12))
    last = test.finals[-1].words[-1]

    assert said == words(12)
    assert test.started == (["b"] if failure == "refuse" else ["a", "b"])
    assert (last.text, round(last.end * 16_000)) == ("w11", 12 * (WORD + GAP) - GAP)


@pytest.mark.parametrize("failure", ["error", "end", "hang"])
async def test_the_only_candidate_is_asked_once_more(failure):
    """With nobody behind it, its next session hears again what was not final."""
    listener = Listener("a", Act(fails=failure, after=4), Act())
    test = Bench((listener,), bounds=TWICE)

    assert (await test.hear(spoken(9)), len(listener.requests)) == (words(9), 2)


async def test_the_only_candidate_may_fail_again_after_a_final():
    """A vendor that ends sessions early and often is no end of ours, as long as it hears."""
    listener = Listener("a", Act(fails="end", after=4, final_every=3))
    test = Bench((listener,), bounds=TWICE)

    assert (await test.hear(spoken(14)), len(listener.requests)) == (words(14), 5)


async def test_nobody_is_left():
    """What was heard is told first, the last partial as a final; then the error."""
    test = bench(Act(fails="error", after=4), Act(fails="error", after=1))
    with pytest.raises(ProviderUnavailableError):
        await test.hear(spoken(12))

    assert test.said == words(5)
    assert test.run.tape.origin == round(test.finals[-1].end * 16_000)


async def test_nobody_opens():
    """A session that nobody takes has the error of any plan that fails."""
    test = bench(Act(fails="refuse"), Act(fails="refuse"))

    with pytest.raises(AllCandidatesFailedError):
        await test.hear(spoken(1))


async def test_failure_after_the_last_word_is_none():
    """Who has said everything may break: the session is complete."""
    test = bench(Act(fails="late"), Act())

    assert (await test.hear(spoken(3)), test.started) == (words(3), ["a"])


async def test_silence_is_no_failure():
    """Nothing is expected of a candidate while nobody speaks, however long."""
    bounds = Live(max_speed=1e9, stall=0.05, open_timeout=0.1)
    test = bench(Act(), bounds=bounds, policy=Policy(max_attempt=0.1))

    async def audio() -> AsyncIterator[bytes]:
        yield spoken(1) + pause(0.1)
        await asyncio.sleep(0.3)  # longer than any of these bounds
        yield spoken(1, first=1)

    assert (await test.hear(audio()), len(test.attempts)) == (words(2), 1)


async def test_music_is_no_failure():
    """Loud but wordless audio brings no answer, and the speech detector agrees with that."""
    tone = (b"\x00\x10" * 40 + b"\x00\xf0" * 40) * 400  # two seconds of a 200 Hz buzz
    judged: list[bool] = []

    async def judge(pcm: bytes) -> bool:
        judged.append(await has_speech(pcm))
        return judged[-1]

    async def audio() -> AsyncIterator[bytes]:
        yield tone
        await until(lambda: judged)

    test = bench(Act(fails="deaf"), is_speech=judge)
    with pytest.raises(ProviderTimeoutError):  # its end is what it does not answer
        await test.hear(audio())

    assert judged[0] is False


async def test_endless_speech_is_cut_at_a_pause():
    """Before the tape is full the candidate has to say its last words, and hears on anew."""
    bounds = Live(max_speed=1e9, stall=1.0, max_replay=1.0)
    listener = Listener("a", Act(final_every=0))
    test = Bench((listener,), bounds=bounds)
    speech = b"".join(spoken(10, first=at) + pause(0.2) for at in range(0, 100, 10))

    assert (await test.hear(speech), len(listener.requests) > 3) == (words(100), True)
    assert test.started == ["a"]


async def test_endless_silence_needs_no_room():
    """The tape forgets silence; the session is one, and the next word is heard."""
    bounds = Live(max_speed=1e9, stall=1.0, max_replay=2.0)
    listener = Listener("a")
    test = Bench((listener,), bounds=bounds)
    said = await test.hear(pause(20.0) + spoken(2))

    assert (said, len(listener.requests)) == (words(2), 1)
    assert round(test.finals[0].start, 3) == 20.0


async def test_a_client_that_is_ahead_waits():
    """Nothing is taken from a client while the tape is full."""
    listener = Listener("a", Act(fails="hang", after=0))
    bounds = Live(max_speed=1e9, stall=30.0, max_replay=1.0)
    test = Bench((listener,), bounds=bounds)
    given = 0

    async def audio() -> AsyncGenerator[bytes, None]:
        nonlocal given
        async for chunk in chunks(spoken(300), 3200):
            given += len(chunk)
            yield chunk

    task = asyncio.create_task(test.hear(audio()))
    await until(lambda: given > 32_000)
    for _ in range(100):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert given <= 32_000 + 2 * 3200


async def test_replay_is_faster_than_speech_but_bounded():
    """A second of audio takes a tenth of one when that is the bound."""
    test = bench(Act(), bounds=Live(max_speed=10.0))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await test.hear(pause(6.0) + spoken(1))

    assert 0.3 < loop.time() - begin < 1.5


async def test_an_error_of_the_audio_ends_it():
    """What was heard until then becomes final; then the error comes out."""
    test = bench(Act(final_every=0))

    async def audio() -> AsyncIterator[bytes]:
        yield spoken(2)
        raise ClientGoneError("Gone.")

    with pytest.raises(ClientGoneError):
        await test.hear(audio())

    assert test.said == words(2)


async def test_closing_the_run_closes_the_candidate():
    """Upstream work ends with the session."""
    listener = Listener("a")
    test = Bench((listener,))
    never = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield spoken(1) + pause(0.1)
        await never.wait()

    async with test.run.tape.recording(audio()), aclosing(test.run.events()) as events:
        await anext(events)
        assert listener.open == 1

    assert listener.open == 0


async def test_all_that_was_given_is_paid_for():
    """A replay costs again, at the price of who hears it."""
    dear, cheap = Listener("a", Act(fails="end", after=4), price=6.0), Listener("b", price=0.6)
    test = Bench((dear, cheap))
    await test.hear(spoken(10))
    seconds = [one.heard / 32_000 for one in (dear, cheap)]

    assert test.run.cost == pytest.approx(seconds[0] * 0.1 + seconds[1] * 0.01)
    assert [attempt.is_fallback for attempt in test.attempts] == [False, True]


FAILURES = st.builds(
    Act,
    fails=st.sampled_from(["refuse", "error", "defect", "end", "hang", "deaf"]),
    after=st.integers(0, 12),
    final_every=st.integers(0, 5),
)


@given(
    failing=st.lists(FAILURES, max_size=3),
    healthy=st.builds(Act, final_every=st.integers(0, 5)),
    count=st.integers(1, 24),
    size=st.integers(40, 4000),
)
@settings(max_examples=25, deadline=None)
def test_each_word_exactly_once(failing, healthy, count, size):
    """Any failures at any places, any chunks: the finals have each word once, in order, in time."""

    async def run() -> Bench:
        test = bench(*failing, healthy)
        await test.hear(chunks(spoken(count), 2 * size))
        return test

    test = asyncio.run(run())
    found = [word for final in test.finals for word in final.words]

    assert test.said == [word.text for word in found] == words(count)
    assert [round(word.start * 16_000) for word in found] == [
        number * (WORD + GAP) for number in range(count)
    ]
