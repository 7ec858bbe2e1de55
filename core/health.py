"""
What was seen of each candidate lately: its breaker, its load and its latency.

One `Gate` stands before every (provider, model, capability). Its breaker opens after a number of
failures in a row and lets one probe through when its time is over; each probe that fails doubles
that time. Latency is a peak-sensitive moving average (P2C peak EWMA as in Twitter's Finagle,
`com.twitter.finagle.loadbalancer.PeakEwma`): it jumps up at once and comes down slowly.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from time import monotonic

from attrs import define, field

from junctor.conf.settings import Breaker
from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)

DECAY = 30.0
"""Seconds in which an old latency loses all but 1/e of its weight."""

FORGOTTEN = 10 * DECAY
"""Seconds after which a latency says nothing any more: who was slow once is tried again."""

REMEMBERED = 100
"""Latencies of a candidate that its 95th percentile is taken from, at most."""
ENOUGH = 20
"""And at least."""

Key = tuple[str, Capability]
"""(`provider:model`, capability)."""


class BreakerState(StrEnum):
    """Closed lets all through, open none, half-open one probe."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


@define(kw_only=True)
class Gate:
    """Breaker, bulkhead and latency of one candidate. Not thread-safe: one event loop owns it."""

    settings: Breaker
    clock: Callable[[], float] = monotonic
    _failures: int = field(default=0, init=False)
    _open_until: float = field(default=0.0, init=False)
    _open_for: float = field(default=0.0, init=False)
    _is_open: bool = field(default=False, init=False)
    _paused_until: float = field(default=0.0, init=False)
    _is_probing: bool = field(default=False, init=False)
    _failed_at: float = field(default=-math.inf, init=False)
    _under_way: int = field(default=0, init=False)
    _latency: float | None = field(default=None, init=False)
    _latency_at: float = field(default=0.0, init=False)
    _latencies: deque[float] = field(factory=lambda: deque(maxlen=REMEMBERED), init=False)

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands now."""
        until = max(self._open_until, self._paused_until)
        if self.clock() < until:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN if self._is_open else BreakerState.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether a request would be turned away by the breaker."""
        if not self._is_open and not self._paused_until:
            return False  # nearly always, and without a look at the clock
        now = self.clock()
        if now < self._paused_until:
            return True
        return self._is_open and (self._is_probing or now < self._open_until)

    @property
    def pause(self) -> float:
        """Seconds for which it asked to be left alone; 0 where it did not."""
        return max(0.0, self._paused_until - self.clock()) if self._paused_until else 0.0

    @property
    def is_full(self) -> bool:
        """Whether the bulkhead is full."""
        return self._under_way >= self.settings.concurrency

    @property
    def outstanding(self) -> int:
        """Requests under way."""
        return self._under_way

    @property
    def latency(self) -> float | None:
        """Observed seconds to the first item; None where there was no answer for long."""
        is_old = self.clock() - self._latency_at > FORGOTTEN
        return None if is_old else self._latency

    @property
    def slow(self) -> float | None:
        """95th percentile of the last latencies, seconds; None before there are enough."""
        if len(self._latencies) < ENOUGH:
            return None
        return sorted(self._latencies)[int(len(self._latencies) * 0.95)]

    def enter(self) -> bool:
        """Count a request in, after a look at `is_open` and `is_full`; say if it is a probe."""
        self._under_way += 1
        if self._is_open:
            self._is_probing = True
        return self._is_open

    def leave(self, *, was_probe: bool) -> None:
        """Count it out again, whatever came of it."""
        self._under_way -= 1
        if was_probe:
            self._is_probing = False

    def succeed(self, latency: float) -> None:
        """
        Take note of a first item after `latency` seconds; it closes the breaker.

        A row of failures is over with the end of the work, `settle`: a stream may still break.
        """
        self._is_open = False
        self._latencies.append(latency)
        now = self.clock()
        if self._latency is None or latency > self._latency:
            self._latency = latency
        else:
            weight = math.exp(-(now - self._latency_at) / DECAY)
            self._latency = self._latency * weight + latency * (1 - weight)
        self._latency_at = now

    def settle(self) -> None:
        """Take note of work that broke nowhere: a row of failures is over."""
        self._failures = 0
        self._open_for = 0.0

    def fail(self, error: ProviderError, *, began: float = math.inf, is_live: bool = False) -> None:
        """
        Take note of a failure; what the request itself is to blame for is none.

        Nor is one that comes while the breaker is open: that work had begun before.

        Args:
            error: the failure.
            began: when the work began, by `clock`. What was under way at a failure breaks with it,
                and counts as one: a server that dies is back soon, however much it had to do. A
                wait that was in vain counts by itself, for waits that long are not to be repeated.
            is_live: whether it is a live session. Of these waits count as one, too, and those that
                find an engine restarting not at all.

        """
        if isinstance(error, (ProviderRejectedError, ProviderBusyError)):
            return
        now = self.clock()
        breaks = is_live or isinstance(error, (ProviderUnavailableError, ProviderAnswerError))
        is_known = (breaks and began < self._failed_at) or (is_live and _comes_back(error))
        if is_known or (self._is_open and now < self._open_until):
            return
        self._failed_at = now
        if isinstance(error, ProviderRateLimitedError) and error.retry_after is not None:
            # It works, and said when to come back: no probe is needed after that.
            pause = min(error.retry_after, self.settings.open_for_max)
            self._paused_until = max(self._paused_until, self.clock() + pause)
            return
        self._failures += 1
        is_hopeless = isinstance(error, (ProviderQuotaError, ProviderAuthError))
        if self._is_open or is_hopeless or self._failures >= self.settings.failures:
            longer = max(self.settings.open_for, self._open_for * 2)
            self._open_for = min(longer, self.settings.open_for_max)
            self._open_until = self.clock() + self._open_for
            self._is_open = True


def _comes_back(error: ProviderError) -> bool:
    return isinstance(error, ProviderUnavailableError) and error.retry_after is not None


@define
class Health:
    """The gates of all candidates, made on first use; those of gone models are dropped."""

    _settings: Breaker
    _clock: Callable[[], float] = monotonic
    _gates: dict[Key, Gate] = field(factory=dict, init=False)

    def gate(self, model: str, capability: Capability) -> Gate:
        """Return the gate of `provider:model`; the caller knows that the model exists."""
        key = (model, capability)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(settings=self._settings, clock=self._clock)
        return gate

    def pause(self, model: str, capability: Capability) -> float:
        """Return for how many seconds `provider:model` asked to be left alone; 0 for none."""
        gate = self._gates.get((model, capability))
        return gate.pause if gate else 0.0

    def is_open(self, model: str, capability: Capability) -> bool:
        """Say whether the breaker of `provider:model` lets nothing through now."""
        gate = self._gates.get((model, capability))
        return gate is not None and gate.is_open

    def latency(self, model: str, capability: Capability) -> float | None:
        """Return the observed latency, seconds; None where there was no answer for long."""
        gate = self._gates.get((model, capability))
        return gate.latency if gate else None

    def outstanding(self, model: str, capability: Capability) -> int:
        """Return the number of requests under way at `provider:model`."""
        gate = self._gates.get((model, capability))
        return gate.outstanding if gate else 0

    def is_full(self, model: str, capability: Capability) -> bool:
        """Say whether one more request at `provider:model` would be turned away."""
        gate = self._gates.get((model, capability))
        return gate is not None and gate.is_full

    def slow(self, card: ModelCard, capability: Capability) -> float:
        """Return the time that a candidate nearly never takes longer than, seconds."""
        gate = self._gates.get((card.name, capability))
        seen = gate.slow if gate else None
        return 2 * card.latency if seen is None else seen

    def slowness(self) -> dict[Key, float]:
        """Return the 95th percentile of each candidate's latency, seconds, for metrics."""
        slow = {key: gate.slow for key, gate in self._gates.items()}
        return {key: seconds for key, seconds in slow.items() if seconds is not None}

    def states(self) -> dict[Key, BreakerState]:
        """Return every breaker's state, for metrics and `/health`."""
        return {key: gate.state for key, gate in self._gates.items()}

    def configure(self, settings: Breaker, models: Iterable[str]) -> None:
        """Take over new settings; forget the gates of models that are gone."""
        self._settings = settings
        kept = set(models)
        self._gates = {key: gate for key, gate in self._gates.items() if key[0] in kept}
        for gate in self._gates.values():
            gate.settings = settings
