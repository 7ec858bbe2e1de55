"""Running a plan: fallback, retries, the deadline, and what is never done twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import msgspec
import pytest
from attrs import define, evolve, field

from junctor.conf.settings import Breaker, Policy
from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.dispatch import Deadline, Dispatcher, Order, verdict
from junctor.core.errors import (
    AllCandidatesFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidRequestError,
    NoCandidateError,
    ProviderAnswerError,
    ProviderContextError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.health import Health
from junctor.core.operations import Trace
from junctor.core.plans import Candidate, Place, Plan
from junctor.core.testing.fakes import fake_card

Work = Callable[[], AsyncIterator[str]]
QUICK = Policy(backoff=0.001, max_attempt=0.2, attempt_share=0.5)


def says(*items: str) -> Work:
    """Yield these."""

    async def run() -> AsyncIterator[str]:
        for item in items:
            yield item

    return run


def fails(error: Exception, *items: str) -> Work:
    """Yield these, then raise."""

    async def run() -> AsyncIterator[str]:
        for item in items:
            yield item
        raise error

    return run


def broke(
    kind: type[ProviderError] = ProviderUnavailableError, *, retry_after: float | None = None
) -> ProviderError:
    return kind("It broke.", provider="p", retry_after=retry_after)


async def hangs() -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield "never"


@define
class Bench:
    """A dispatcher, its plan, and what it did."""

    works: dict[str, list[Work]]
    policy: Policy = QUICK
    breaker: Breaker = field(factory=Breaker)
    output_price: float | None = None
    asked: list[str] = field(factory=list, init=False)
    attempts: list[Attempt] = field(factory=list, init=False)
    trace: Trace = field(factory=Trace, init=False)
    health: Health = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.health = Health(self.breaker)

    def open(self, candidate: Candidate) -> AsyncIterator[str]:
        """Do the next piece of work of the candidate; the last one again and again."""
        name = candidate.card.id
        self.asked.append(name)
        works = self.works[name]
        return (works.pop(0) if len(works) > 1 else works[0])()

    def run(self, seconds: float = 5.0) -> AsyncGenerator[str, None]:
        """Stream the plan of all works, in their order."""
        return self.dispatcher.stream(self.plan, self.open, self.order(seconds))

    async def answer(self, seconds: float = 5.0) -> str:
        """Run it for an answer: the first item of whose turn it is."""
        return await self.dispatcher.answer(
            self.plan, lambda candidate: anext(self.open(candidate)), self.order(seconds)
        )

    @property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(health=self.health, policy=self.policy, observe=self.attempts.append)

    @property
    def plan(self) -> Plan:
        answers = self.output_price
        cards = [evolve(fake_card(name), price=0.5, output_price=answers) for name in self.works]
        return Plan(candidates=tuple(Candidate(card=c, place=Place.REQUESTED) for c in cards))

    def order(self, seconds: float) -> Order:
        return Order(
            blank=Attempt(capability=Capability.TRANSCRIBE, audio_seconds=2.0),
            deadline=Deadline.after(seconds),
            trace=self.trace,
        )


async def test_the_first_candidate_answers_alone() -> None:
    """Nobody else is asked when the first one answers."""
    bench = Bench({"a": [says("hi")], "b": [says("no")]})

    assert (await bench.answer(), bench.asked, bench.trace.attempts) == ("hi", ["a"], 1)


async def test_the_next_candidate_answers_when_one_fails() -> None:
    """The trace tells who answered, at which price, and what went before."""
    bench = Bench({"a": [fails(broke(ProviderRejectedError))], "b": [says("hi")]})
    answer = await bench.answer()

    assert (answer, bench.trace) == (
        "hi",
        Trace(
            attempts=2,
            provider="fake",
            model="b",
            price=0.5,
            output_price=0.5,
            causes=["fake:a ProviderRejectedError"],
        ),
    )


async def test_a_passing_error_is_tried_again_at_the_same_candidate() -> None:
    """One retry, then the answer."""
    bench = Bench({"a": [fails(broke()), says("hi")], "b": [says("no")]})

    assert (await bench.answer(), bench.asked) == ("hi", ["a", "a"])


@pytest.mark.parametrize(("on_card", "price"), [(None, 0.5), (2.0, 2.0), (0.0, 0.0)])
async def test_the_trace_has_the_price_of_an_answer(on_card: float | None, price: float) -> None:
    """A card without a price of its own for answers has one price for both."""
    bench = Bench({"a": [says("hi")]}, output_price=on_card)
    await bench.answer()
    total = Trace()
    total.add(bench.trace, has_answered=True)

    assert (total.price, total.output_price) == (0.5, price)


async def test_an_error_that_stays_is_not_tried_again() -> None:
    """What a provider rejects, it will reject again."""
    bench = Bench({"a": [fails(broke(ProviderRejectedError))], "b": [says("hi")]})
    await bench.answer()

    assert bench.asked == ["a", "b"]


async def test_a_long_retry_after_moves_on_instead_of_waiting() -> None:
    """With another candidate behind it nobody waits an hour."""
    slow_down = broke(ProviderRateLimitedError, retry_after=3600.0)
    bench = Bench({"a": [fails(slow_down)], "b": [says("hi")]})

    assert (await bench.answer(), bench.asked) == ("hi", ["a", "b"])


async def test_a_short_retry_after_is_honoured() -> None:
    """The only candidate is asked again when the time it asked for is over."""
    slow_down = broke(ProviderRateLimitedError, retry_after=0.05)
    bench = Bench({"a": [fails(slow_down), says("hi")]})
    start = asyncio.get_running_loop().time()
    answer = await bench.answer()

    assert answer == "hi"
    assert asyncio.get_running_loop().time() - start >= 0.05


async def test_a_candidate_that_hangs_leaves_time_for_the_next() -> None:
    """Slow counts as failed: it may use its share of the time, not all of it."""
    bench = Bench({"a": [hangs], "b": [says("hi")]})

    assert await bench.answer(seconds=0.4) == "hi"
    assert [one.outcome for one in bench.attempts] == ["ProviderTimeoutError", "ok"]


async def test_the_deadline_holds_when_the_only_candidate_hangs() -> None:
    """The request ends at its deadline, whoever hangs."""
    bench = Bench({"a": [hangs]})
    start = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceededError):
        await bench.answer(seconds=0.1)

    assert asyncio.get_running_loop().time() - start == pytest.approx(0.1, abs=0.1)


async def test_every_candidate_failing_names_all_causes() -> None:
    """The error carries one cause for each candidate."""
    bench = Bench({"a": [fails(broke())], "b": [fails(broke(ProviderAnswerError))]})
    with pytest.raises(AllCandidatesFailedError) as caught:
        await bench.answer()

    kinds = [type(cause) for cause in caught.value.causes]
    assert kinds == [ProviderUnavailableError, ProviderAnswerError]


async def test_a_request_that_all_reject_is_the_callers_to_mend() -> None:
    """Nobody is told to try again what nobody will take."""
    bench = Bench({name: [fails(broke(ProviderRejectedError))] for name in "ab"})
    with pytest.raises(InvalidRequestError):
        await bench.answer()


async def test_a_stream_falls_back_until_its_first_item() -> None:
    """A stream that breaks before its first word is simply told by another."""
    bench = Bench({"a": [fails(broke(ProviderRejectedError))], "b": [says("one", "two")]})

    assert [item async for item in bench.run()] == ["one", "two"]


async def test_a_stream_that_breaks_after_its_first_item_says_so() -> None:
    """No other candidate may repeat what the client has read; the error comes out."""
    bench = Bench({"a": [fails(broke(), "one")], "b": [says("no")]})
    items = bench.run()
    read = [await anext(items)]
    with pytest.raises(ProviderUnavailableError):
        await anext(items)

    assert (read, bench.asked) == (["one"], ["a"])


async def test_a_stream_that_stalls_is_ended() -> None:
    """The pause between two items is bounded as well."""

    async def stalls() -> AsyncIterator[str]:
        yield "one"
        await asyncio.Event().wait()

    bench = Bench({"a": [stalls]})
    with pytest.raises(ProviderTimeoutError):
        [item async for item in bench.run()]


async def test_closing_a_stream_closes_the_providers() -> None:
    """A client that leaves stops the work upstream, and it is reported as cancelled."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "on"
        finally:
            closed.set()

    bench = Bench({"a": [endless]})
    async with aclosing(bench.run()) as items:
        await anext(items)

    assert (closed.is_set(), [one.outcome for one in bench.attempts]) == (True, ["cancelled"])


async def test_cancelling_the_request_cancels_the_provider() -> None:
    """Cancellation is not an error to fall back on."""
    started = asyncio.Event()

    async def waits() -> AsyncIterator[str]:
        started.set()
        await asyncio.Event().wait()
        yield "never"

    bench = Bench({"a": [waits], "b": [says("no")]})
    task = asyncio.create_task(bench.answer())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.asked == ["a"]


@pytest.mark.parametrize(
    "error", [ValueError("?"), KeyError("key=s3cret"), asyncio.CancelledError()]
)
async def test_a_defect_of_a_provider_is_a_failed_attempt(error: Exception) -> None:
    """Whatever foreign code raises, the next candidate answers."""
    bench = Bench({"a": [fails(error)], "b": [says("hi")]})

    assert await bench.answer() == "hi"
    assert bench.trace.causes


async def test_an_empty_stream_is_a_failed_attempt() -> None:
    """No item at all is no answer."""
    bench = Bench({"a": [says()], "b": [says("hi")]})

    assert [item async for item in bench.run()] == ["hi"]


async def test_a_dead_candidate_is_left_alone() -> None:
    """After its failures it is not even asked: the next requests do not pay for it."""
    bench = Bench(
        {"a": [fails(broke())], "b": [says("hi")]}, breaker=Breaker(failures=2, open_for=60)
    )
    await bench.answer()
    bench.asked.clear()
    answer = await bench.answer()

    assert (answer, bench.asked) == ("hi", ["b"])


async def test_a_full_candidate_spills_over() -> None:
    """The bulkhead sends the second request on, and lets the third one in again."""
    bench = Bench({"a": [says("one", "two")], "b": [says("hi")]}, breaker=Breaker(concurrency=1))
    async with aclosing(bench.run()) as first:
        await anext(first)
        second = [item async for item in bench.run()]
    third = [item async for item in bench.run()]

    assert (second, third) == (["hi"], ["one", "two"])


async def test_the_only_candidate_being_full_is_an_error() -> None:
    """It does not wait without bound."""
    bench = Bench({"a": [says("one", "two")]}, breaker=Breaker(concurrency=1))
    async with aclosing(bench.run()) as first:
        await anext(first)
        with pytest.raises(NoCandidateError) as caught:
            await bench.answer()

    assert caught.value.temporary


async def test_attempts_are_observed_with_their_facts() -> None:
    """Observers learn outcome, times, media length, and whether it was a fallback."""
    bench = Bench({"a": [fails(broke(ProviderRejectedError))], "b": [says("hi")]})
    await bench.answer()
    seen = [(o.model, o.outcome, o.is_fallback, o.audio_seconds) for o in bench.attempts]

    assert seen == [("a", "ProviderRejectedError", False, 2.0), ("b", "ok", True, 2.0)]
    assert bench.attempts[1].first_item_seconds is not None


async def test_a_stream_that_is_never_read_on_lets_go(bench_of_one: Bench) -> None:
    """Closed after its first item, before anything else was asked, it frees its place."""
    for _ in range(3):
        items = bench_of_one.run()
        await anext(items)
        await items.aclose()

    assert [one.outcome for one in bench_of_one.attempts] == ["cancelled"] * 3


async def test_a_stream_that_breaks_counts_against_its_candidate(bench_of_one: Bench) -> None:
    """The breaker opens for what fails late as for what fails early."""
    bench_of_one.works["a"] = [fails(broke(), "one")]
    with pytest.raises(ProviderUnavailableError):
        [item async for item in bench_of_one.run()]

    assert bench_of_one.health.is_open("fake:a", Capability.TRANSCRIBE)


async def test_streams_that_break_in_a_row_open_the_breaker() -> None:
    """The first item of each is no good end: who breaks every stream is left alone."""
    bench = Bench({"a": [says("one")]}, breaker=Breaker(failures=2))
    for expected in (False, True):
        bench.works["a"] = [fails(broke(), "one")]
        with pytest.raises(ProviderUnavailableError):
            [item async for item in bench.run()]

        assert bench.health.is_open("fake:a", Capability.TRANSCRIBE) is expected


async def test_live_sessions_that_break_in_a_row_do_not() -> None:
    """An engine killed now and then under a session of hours came back each time."""
    bench = Bench({"a": [says("one")]}, breaker=Breaker(failures=2))
    order = msgspec.structs.replace(bench.order(5.0), is_live=True)
    for _ in range(4):
        bench.works["a"] = [fails(broke(), "one")]
        with pytest.raises(ProviderUnavailableError):
            [item async for item in bench.dispatcher.stream(bench.plan, bench.open, order)]

    assert not bench.health.is_open("fake:a", Capability.TRANSCRIBE)


@pytest.fixture(name="bench_of_one")
def _bench_of_one() -> Bench:
    return Bench({"a": [says("one", "two")]}, breaker=Breaker(concurrency=1, failures=1))


def test_who_finds_a_conversation_too_long_decides_the_verdict() -> None:
    """The caller can mend that; and is told what each provider said, without secrets or folders."""
    rejected = ProviderRejectedError(
        "one wants no sk-proj-AbCdEf123456 from /srv/x.", provider="one"
    )
    long = ProviderContextError("two is too small.", provider="two")

    assert isinstance(verdict([rejected, long]), ContextLengthError)
    told = str(verdict([rejected, rejected]))
    assert "one wants no *** from x. Check what was sent" in told
    assert "/srv" not in told
