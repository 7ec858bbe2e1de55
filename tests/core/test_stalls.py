"""The bound of the pause between two items of a stream."""

import asyncio
import time

import pytest

from junctor.core.errors import ProviderTimeoutError
from junctor.core.stalls import StallWatch, within


def _watch(pause: float, *, all_in: float = 60.0) -> StallWatch:
    return StallWatch(pause, asyncio.get_running_loop().time() + all_in, "slow")


def _cancels() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_a_wait_within_the_pause_gives_its_item() -> None:
    """What comes in time comes through, again and again over the same watch."""
    watch = _watch(0.2)
    found = [await watch.wait(lambda: asyncio.sleep(0.05, result="item")) for _ in range(6)]
    watch.close()

    assert found == ["item"] * 6


async def test_a_wait_that_is_too_long_is_told() -> None:
    """It ends soon after the pause, counted from the wait's own beginning."""
    watch = _watch(0.1)
    await watch.wait(lambda: asyncio.sleep(0.08))
    began = time.monotonic()
    with pytest.raises(ProviderTimeoutError):
        await watch.wait(lambda: asyncio.sleep(30))

    assert 0.08 < time.monotonic() - began < 5
    assert _cancels() == 0


async def test_the_end_of_all_counts_too() -> None:
    """A pause longer than what is left of the request is cut."""
    watch = _watch(30, all_in=0.05)
    with pytest.raises(ProviderTimeoutError):
        await watch.wait(lambda: asyncio.sleep(30))


async def test_time_between_two_waits_is_not_counted() -> None:
    """A slow reader is no fault of the stream."""
    watch = _watch(0.05)
    await watch.wait(lambda: asyncio.sleep(0))
    await asyncio.sleep(0.15)
    found = await watch.wait(lambda: asyncio.sleep(0.01, result="item"))
    watch.close()

    assert found == "item"


async def test_a_cancelled_wait_is_cancelled() -> None:
    """Who leaves is not told of a timeout."""
    watch = _watch(30)
    task = asyncio.create_task(watch.wait(lambda: asyncio.sleep(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watch.close()


async def test_a_closed_watch_leaves_no_timer() -> None:
    """Closing twice is no error."""
    watch = _watch(0.01)
    await watch.wait(lambda: asyncio.sleep(0))
    watch.close()
    watch.close()
    await asyncio.sleep(0.03)

    assert _cancels() == 0


async def test_work_in_time_gives_its_result() -> None:
    """And leaves nothing behind that could cancel what comes after it."""
    now = asyncio.get_running_loop().time
    found = await within(now() + 0.05, lambda: asyncio.sleep(0, result="done"))
    await asyncio.sleep(0.08)

    assert found == "done"
    assert _cancels() == 0


@pytest.mark.parametrize("seconds", [0.05, 0.0, -1.0])
async def test_work_that_is_late_is_cancelled(seconds: float) -> None:
    """Work whose time is over before it began does not begin."""
    now = asyncio.get_running_loop().time
    with pytest.raises(TimeoutError):
        await within(now() + seconds, lambda: asyncio.sleep(30))

    assert _cancels() == 0


async def test_work_that_is_cancelled_is_not_late() -> None:
    """Who leaves is not told of a timeout."""
    until = asyncio.get_running_loop().time() + 30
    task = asyncio.create_task(within(until, lambda: asyncio.sleep(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _defies() -> str:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        raise KeyError from None
    return ""


@pytest.mark.parametrize("bound", ["within", "watch"])
async def test_work_that_defies_its_end_leaves_no_cancellation(bound: str) -> None:
    """What comes after it, in the same task, would be taken for cancelled."""
    until = asyncio.get_running_loop().time() + 0.02
    with pytest.raises(KeyError):
        await (within(until, _defies) if bound == "within" else _watch(0.02).wait(_defies))

    assert _cancels() == 0


async def test_a_watch_forgets_that_somebody_was_late() -> None:
    """Who leaves later is not told of a timeout."""
    watch = _watch(0.02)
    with pytest.raises(KeyError):
        await watch.wait(_defies)
    task = asyncio.create_task(watch.wait(lambda: asyncio.sleep(0.01)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    watch.close()
