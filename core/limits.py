"""
What a team may do at the same time and in a minute.

Counted in this process. Everything is asked with `await`, so that counters in a shared store can
take the place of these without a change to those who ask. The moving window of the `limits` package
was measured at 20 µs a request (hit and remaining) and 40 ms of import; this one takes about one.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from junctor.core.accounts import Principal
from junctor.core.errors import ConcurrencyLimitedError, RateLimitedError

WINDOW = 60.0
"""Length of the moving window, seconds."""


class RateState(Struct, frozen=True, kw_only=True):
    """Where a team stands after a request was admitted; contracts put it into headers."""

    limit: int
    """Requests per minute."""
    remaining: int
    reset: float
    """Seconds until the oldest request counted leaves the window, and one more may come."""


class RateLimiter(Protocol):
    """Counts the requests of a team in a moving minute."""

    async def hit(self, principal: Principal) -> RateState:
        """
        Count one request of the principal's team.

        Raises:
            RateLimitedError: the team has used up its minute; says when to come again.

        """
        ...


class ConcurrencyLimiter(Protocol):
    """Counts the requests of a team that are under way."""

    async def acquire(self, principal: Principal) -> "Slot":
        """
        Count one request in, until the slot is released.

        Raises:
            ConcurrencyLimitedError: the team has as many under way as it may.

        """
        ...


class Slot(Protocol):
    """One request under way: an async context manager, released once however often it is asked."""

    async def release(self) -> None:
        """Count the request out; a second call does nothing."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class MemoryRateLimiter:
    """
    The moving window of this process: exact, one float per admitted request of the last minute.

    A team that sends nothing for a minute is forgotten.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()
        """Times of the requests admitted, by team; the team that was silent longest comes first."""

    async def hit(self, principal: Principal) -> RateState:
        """Count one request, or raise `RateLimitedError`; a refused one does not count."""
        now, team, limit = self._clock(), principal.team, principal.limits.requests_per_minute
        hits = self._hits.get(team)
        if hits is None:
            hits = self._hits[team] = deque()
        while hits and hits[0] <= now - WINDOW:
            hits.popleft()
        if len(hits) >= limit:
            raise RateLimitedError(limit=limit, retry_after=hits[-limit] + WINDOW - now)
        hits.append(now)
        self._hits.move_to_end(team)
        self._forget_idle(now)
        return RateState(limit=limit, remaining=limit - len(hits), reset=hits[0] + WINDOW - now)

    def _forget_idle(self, now: float) -> None:
        team, hits = next(iter(self._hits.items()))
        if hits[-1] <= now - WINDOW:
            del self._hits[team]

    def __len__(self) -> int:
        """Return how many teams are remembered."""
        return len(self._hits)


class MemoryConcurrencyLimiter:
    """The requests under way in this process; a team without any is forgotten."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}

    async def acquire(self, principal: Principal) -> Slot:
        """Count one request in, or raise `ConcurrencyLimitedError`."""
        team, limit = principal.team, principal.limits.concurrency
        running = self._running.get(team, 0)
        if running >= limit:
            raise ConcurrencyLimitedError(limit=limit)
        self._running[team] = running + 1
        return _MemorySlot(self._running, team)

    def __len__(self) -> int:
        """Return how many teams have requests under way."""
        return len(self._running)


class _MemorySlot:
    __slots__ = ("_running", "_team")

    def __init__(self, running: dict[str, int], team: str) -> None:
        self._running: dict[str, int] | None = running
        self._team = team

    async def release(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        left = running[self._team] - 1
        if left:
            running[self._team] = left
        else:
            del running[self._team]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()
