"""A late first is hedged; an ensemble is waited for, but not for ever."""

import asyncio

import pytest

from junctor.core.races import gathered, hedged


async def after(event: asyncio.Event | None, value: str) -> str:
    if event is not None:
        await event.wait()
    return value


async def fails(sentence: str) -> str:
    raise ValueError(sentence)


async def test_a_quick_first_is_alone() -> None:
    """The second is not even begun."""
    begun: list[str] = []

    async def second() -> str:
        begun.append("second")
        return "second"

    won = await hedged(lambda: after(None, "first"), second, delay=5)

    assert (won, begun) == (["first"], [])


async def test_a_late_first_loses_and_is_cancelled() -> None:
    """It has let go of everything by the time the answer is there."""
    ended = asyncio.Event()

    async def first() -> str:
        try:
            return await after(asyncio.Event(), "never")
        finally:
            ended.set()

    won = await hedged(first, lambda: after(None, "second"), delay=0.01)

    assert (str(won[0]), won[1]) == ("The others had answered long before.", "second")
    assert ended.is_set()


async def test_a_first_that_comes_while_the_second_runs_wins() -> None:
    """Whoever answers first, answers."""
    go = asyncio.Event()

    async def second() -> str:
        go.set()
        return await after(asyncio.Event(), "never")

    won = await hedged(lambda: after(go, "first"), second, delay=0.01)

    assert (won[0], type(won[1])) == ("first", TimeoutError)


async def test_a_first_that_fails_is_followed_at_once() -> None:
    """It is not waited for the delay."""
    won = await hedged(lambda: fails("first"), lambda: after(None, "second"), delay=60)

    assert (str(won[0]), won[1]) == ("first", "second")


async def test_when_both_fail_both_say_why() -> None:
    """Whoever asked decides which of the two counts."""
    found = await hedged(lambda: fails("first"), lambda: fails("second"), delay=0.01)

    assert [str(one) for one in found] == ["first", "second"]


async def test_leaving_stops_both() -> None:
    """A cancelled request leaves nothing running."""
    ended: list[str] = []

    async def hangs(name: str) -> str:
        try:
            return await after(asyncio.Event(), name)
        finally:
            ended.append(name)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await hedged(lambda: hangs("first"), lambda: hangs("second"), delay=0.01)

    assert sorted(ended) == ["first", "second"]


async def test_an_ensemble_returns_results_and_errors_in_order() -> None:
    """One that fails does not spoil the others."""
    found = await gathered([after(None, "a"), fails("b"), after(None, "c")])

    assert (found[0], str(found[1]), found[2]) == ("a", "b", "c")


async def test_a_straggler_is_not_waited_for() -> None:
    """Once half of them have answered the others get as long again."""
    found = await gathered([after(None, "a"), after(asyncio.Event(), "never")], patience=0.05)

    assert found[0] == "a"
    assert isinstance(found[1], TimeoutError)
