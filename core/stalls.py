"""
Bounds of time for the hot path: of one piece of work, and of the pauses of a stream.

`asyncio.timeout` costs 5 µs each time, and twice a request; for each item of a stream it was a
tenth of what relaying it costs. A stream has one timer here, which looks again and again whether
somebody has waited for too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from junctor.core.alarms import running_alarms
from junctor.core.errors import ProviderTimeoutError

T = TypeVar("T")


async def within(until: float, work: Callable[[], Awaitable[T]]) -> T:
    """
    Return what the work gives.

    Args:
        until: event-loop time by which it must be done; it may last a moment longer (`alarms`).
        work: begins it.

    Raises:
        TimeoutError: it is not; it has been cancelled.

    """
    alarms = running_alarms()
    loop = alarms.loop
    if loop.time() >= until:
        raise TimeoutError
    task = asyncio.current_task(loop)
    assert task is not None  # noqa: S101  # coroutines run in tasks
    pending, is_late = task.cancelling(), False

    def cancel() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    alarm = alarms.set(until, cancel)
    try:
        return await work()
    except asyncio.CancelledError:
        if is_late and task.cancelling() <= pending + 1:
            raise TimeoutError from None
        raise
    finally:
        alarms.clear(alarm, cancel)
        if is_late:  # also where the work made something else of it
            task.uncancel()


class StallWatch:
    """
    Bounds each wait of one stream; not more than one at a time.

    Args:
        pause: longest wait, seconds.
        all_by: event-loop time by which every wait must be over.
        provider: named in the error.

    """

    __slots__ = ("_all_by", "_due", "_is_late", "_loop", "_pause", "_provider", "_task", "_timer")

    def __init__(self, pause: float, all_by: float, provider: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._pause = pause
        self._all_by = all_by
        self._provider = provider
        self._due = all_by
        self._is_late = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """
        Return what the work gives.

        Raises:
            ProviderTimeoutError: not within the pause, or by the end of all.

        """
        self._due = min(self._loop.time() + self._pause, self._all_by)
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)
        task = asyncio.current_task(self._loop)
        assert task is not None  # noqa: S101  # coroutines run in tasks
        pending = task.cancelling()
        self._task = task
        try:
            return await work()
        except asyncio.CancelledError:
            if self._is_late and task.cancelling() <= pending + 1:
                raise ProviderTimeoutError("It was too slow.", provider=self._provider) from None
            raise
        finally:
            self._task = None
            if self._is_late:  # also where the work made something else of it
                self._is_late = False
                task.uncancel()

    def close(self) -> None:
        """Stop watching; idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody waits; the next wait begins to watch again
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
            return
        self._is_late = True
        self._task.cancel()
