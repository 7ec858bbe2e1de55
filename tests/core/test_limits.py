import asyncio

import pytest

from junctor.conf.settings import Team
from junctor.core.accounts import Principal
from junctor.core.errors import ConcurrencyLimitedError, RateLimitedError
from junctor.core.limits import MemoryConcurrencyLimiter, MemoryRateLimiter, RateState
from tests.fakes.clock import Clock


def of(team: str = "acme", *, rate: int = 2, concurrency: int = 2) -> Principal:
    limits = Team(requests_per_minute=rate, concurrency=concurrency)
    return Principal(team=team, key_id="id", prefix="abcdefgh", limits=limits)


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="rates")
def _rates(clock: Clock) -> MemoryRateLimiter:
    return MemoryRateLimiter(clock=clock)


async def test_state_after_a_request(rates: MemoryRateLimiter, clock: Clock) -> None:
    """A request admitted says what is left and when the next place is free."""
    await rates.hit(of(rate=3))
    clock.pass_by(15.0)

    assert await rates.hit(of(rate=3)) == RateState(limit=3, remaining=1, reset=45.0)


async def test_too_many(rates: MemoryRateLimiter, clock: Clock) -> None:
    """The request after the last one says when to come again, exactly."""
    await rates.hit(of())
    clock.pass_by(20.0)
    await rates.hit(of())

    with pytest.raises(RateLimitedError) as caught:
        await rates.hit(of())

    assert (caught.value.limit, caught.value.retry_after) == (2, 40.0)


async def test_refused_do_not_count(rates: MemoryRateLimiter, clock: Clock) -> None:
    """A team that keeps knocking gets in as soon as its time has come."""
    await rates.hit(of(rate=1))
    for _ in range(59):
        clock.pass_by(1.0)
        with pytest.raises(RateLimitedError):
            await rates.hit(of(rate=1))
    clock.pass_by(1.0)

    assert (await rates.hit(of(rate=1))).remaining == 0


async def test_window_moves(rates: MemoryRateLimiter, clock: Clock) -> None:
    """In no 60 seconds are there more than the limit, also across a minute's edge."""
    admitted = []
    for _ in range(300):
        try:
            await rates.hit(of(rate=5))
        except RateLimitedError:
            pass
        else:
            admitted.append(clock())
        clock.pass_by(1.0)

    assert max(sum(t <= u < t + 60 for u in admitted) for t in admitted) == 5


async def test_smaller_limit_after_reload(rates: MemoryRateLimiter, clock: Clock) -> None:
    """When the limit shrinks, the wait is until enough requests have left the window."""
    for _ in range(4):
        await rates.hit(of(rate=4))
        clock.pass_by(10.0)

    with pytest.raises(RateLimitedError) as caught:
        await rates.hit(of(rate=2))

    assert caught.value.retry_after == 40.0


async def test_teams_are_apart(rates: MemoryRateLimiter) -> None:
    """One team's requests are no other's."""
    await rates.hit(of("a", rate=1))

    assert (await rates.hit(of("b", rate=1))).remaining == 0


async def test_idle_teams_are_forgotten(rates: MemoryRateLimiter, clock: Clock) -> None:
    """Teams that were silent for a minute take no memory."""
    for number in range(100):
        await rates.hit(of(str(number)))
    clock.pass_by(61.0)
    for _ in range(100):
        await rates.hit(of("awake", rate=1000))

    assert len(rates) == 1


async def test_slots_run_out() -> None:
    """More requests at once than allowed are refused, and come in when one is over."""
    running = MemoryConcurrencyLimiter()
    slots = [await running.acquire(of()) for _ in range(2)]
    with pytest.raises(ConcurrencyLimitedError, match="2 concurrent"):
        await running.acquire(of())
    await slots[0].release()

    async with await running.acquire(of()):
        assert len(running) == 1


async def test_released_once() -> None:
    """However often a slot is released, it counts once."""
    running = MemoryConcurrencyLimiter()
    first = await running.acquire(of())
    await running.acquire(of())
    async with first:
        await first.release()
    await first.release()
    await running.acquire(of())

    with pytest.raises(ConcurrencyLimitedError):
        await running.acquire(of())


async def test_released_on_cancel() -> None:
    """A cancelled request leaves its slot, and a team without requests is forgotten."""
    running = MemoryConcurrencyLimiter()
    entered = asyncio.Event()

    async def request() -> None:
        async with await running.acquire(of()):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert len(running) == 0
