"""The gate before a candidate: breaker, bulkhead, latency."""

from typing import Self

import pytest
from attrs import define

from junctor.conf.settings import Breaker
from junctor.core.cards import Capability
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.health import BreakerState, Gate, Health

SETTINGS = Breaker(failures=3, open_for=10, open_for_max=35, concurrency=2)


@define
class Clock:
    """A clock that stands until it is told to go on."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> Self:
        self.now += seconds
        return self


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="gate")
def _gate(clock: Clock) -> Gate:
    return Gate(settings=SETTINGS, clock=clock)


def broke(
    kind: type[ProviderError] = ProviderUnavailableError, *, retry_after: float | None = None
) -> ProviderError:
    return kind("It broke.", provider="p", retry_after=retry_after)


def opened(gate: Gate) -> None:
    for _ in range(SETTINGS.failures):
        gate.fail(broke())


def test_opens_after_failures_in_a_row(gate: Gate) -> None:
    """The third failure in a row opens it, not the second."""
    gate.fail(broke())
    gate.fail(broke())
    before = gate.state
    gate.fail(broke())

    assert (before, gate.state) == (BreakerState.CLOSED, BreakerState.OPEN)


def test_a_success_between_failures_keeps_it_closed(gate: Gate) -> None:
    """Only failures in a row count."""
    gate.fail(broke())
    gate.fail(broke())
    gate.succeed(0.1)
    gate.settle()
    gate.fail(broke())

    assert not gate.is_open


def test_half_open_lets_one_probe_through(gate: Gate, clock: Clock) -> None:
    """When its time is over one request may try; a second one at the same time may not."""
    opened(gate)
    clock.go(10)
    before = gate.is_open
    was_probe = gate.enter()

    assert (before, was_probe, gate.is_open) == (False, True, True)


def test_a_probe_that_succeeds_closes_it(gate: Gate, clock: Clock) -> None:
    """One good answer is enough."""
    opened(gate)
    clock.go(10)
    was_probe = gate.enter()
    gate.succeed(0.1)
    gate.leave(was_probe=was_probe)

    assert gate.state is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_time_up_to_a_bound(gate: Gate, clock: Clock) -> None:
    """10, 20, then 35 seconds instead of 40."""
    opened(gate)
    waits = []
    for _ in range(3):
        start = clock.now
        while gate.is_open:
            clock.go(1)
        waits.append(clock.now - start)
        gate.leave(was_probe=gate.enter())
        gate.fail(broke())

    assert waits == [10, 20, 35]


def test_what_fails_while_it_is_open_says_nothing_new(gate: Gate, clock: Clock) -> None:
    """A hundred requests that one crash ends close it no longer than three do."""
    for _ in range(100):
        gate.fail(broke())
    clock.go(SETTINGS.open_for)

    assert not gate.is_open


def test_live_sessions_that_break_together_are_one_failure(gate: Gate, clock: Clock) -> None:
    """Those that one crash ends count once; each that is opened behind a failure counts again."""
    began = clock.now
    clock.go(1)
    for _ in range(100):
        gate.fail(broke(ProviderTimeoutError), began=began, is_live=True)
    before = gate.is_open
    for _ in range(2):
        began = clock.go(1).now
        gate.fail(broke(), began=began, is_live=True)

    assert (before, gate.is_open) == (False, True)


def test_requests_that_one_crash_ends_are_one_failure(gate: Gate, clock: Clock) -> None:
    """A server that dies with much to do is no worse than one that dies with little."""
    began = clock.now
    clock.go(1)
    for kind in (ProviderUnavailableError, ProviderAnswerError) * 10:
        gate.fail(broke(kind), began=began)

    assert not gate.is_open


def test_waits_in_vain_count_each(gate: Gate, clock: Clock) -> None:
    """Who does not answer at all is left alone after one round of them."""
    began = clock.now
    clock.go(1)
    for _ in range(3):
        gate.fail(broke(ProviderTimeoutError), began=began)

    assert gate.is_open


def test_live_sessions_that_find_an_engine_restarting_say_nothing_new(
    gate: Gate, clock: Clock
) -> None:
    """Its crash was counted; a refusal until it is back is none more."""
    for _ in range(100):
        gate.fail(broke(retry_after=0.5), began=clock.go(0.01).now, is_live=True)

    assert not gate.is_open


def test_a_cancelled_probe_makes_room_for_the_next(gate: Gate, clock: Clock) -> None:
    """A client that leaves in the middle of the probe does not lock the candidate out."""
    opened(gate)
    clock.go(10)
    gate.leave(was_probe=gate.enter())

    assert not gate.is_open


def test_an_older_request_does_not_end_the_probe(gate: Gate, clock: Clock) -> None:
    """One that came in before the breaker opened leaves while the probe is under way."""
    old = gate.enter()
    opened(gate)
    clock.go(10)
    gate.enter()
    gate.leave(was_probe=old)

    assert gate.is_open


@pytest.mark.parametrize("kind", [ProviderQuotaError, ProviderAuthError])
def test_hopeless_errors_open_it_at_once(gate: Gate, kind: type[ProviderError]) -> None:
    """Credits that are used up or a refused key do not come back by trying."""
    gate.fail(broke(kind))

    assert gate.is_open


@pytest.mark.parametrize("kind", [ProviderRejectedError, ProviderBusyError])
def test_a_bad_request_is_no_failure(gate: Gate, kind: type[ProviderError]) -> None:
    """What the request is to blame for, or a full queue, says nothing about its health."""
    for _ in range(10):
        gate.fail(broke(kind))

    assert not gate.is_open


def test_retry_after_is_waited_for_and_needs_no_probe(gate: Gate, clock: Clock) -> None:
    """A rate limit pauses it for as long as it asks, then all may come back."""
    gate.fail(broke(ProviderRateLimitedError, retry_after=4.0))
    paused = gate.is_open
    clock.go(4)
    gate.enter()

    assert (paused, gate.is_open, gate.state) == (True, False, BreakerState.CLOSED)


def test_the_bulkhead_counts_who_is_inside(gate: Gate) -> None:
    """Full at its concurrency, free again when one leaves."""
    gate.enter()
    gate.enter()
    full = gate.is_full
    gate.leave(was_probe=False)

    assert (full, gate.is_full) == (True, False)


def test_latency_jumps_up_and_comes_down_slowly(gate: Gate, clock: Clock) -> None:
    """A peak is believed at once; a single fast answer does not hide it."""
    gate.succeed(1.0)
    clock.go(1)
    gate.succeed(9.0)
    peak = gate.latency
    clock.go(3)
    gate.succeed(1.0)

    assert peak == 9.0
    assert gate.latency == pytest.approx(8.24, abs=0.01)


def test_a_latency_of_long_ago_says_nothing(gate: Gate, clock: Clock) -> None:
    """Else a cap on latency would leave out for ever who was slow once, for nobody asks it again."""
    gate.succeed(60.0)
    clock.go(299)
    before = gate.latency
    clock.go(2)

    assert (before, gate.latency) == (60.0, None)


def test_a_shorter_pause_does_not_end_a_longer_one(gate: Gate, clock: Clock) -> None:
    """Two requests were told to come back, one of them later."""
    for seconds in (10.0, 1.0):
        gate.fail(ProviderRateLimitedError("x", provider="p", retry_after=seconds))
    clock.go(5)

    assert gate.is_open is True


def test_a_reload_forgets_the_gates_of_models_that_are_gone() -> None:
    """Memory does not grow with each reload, and what is known of the others stays."""
    health = Health(SETTINGS)
    for model in ("p:old", "p:kept"):
        opened(health.gate(model, Capability.TRANSCRIBE))
    health.configure(SETTINGS, ["p:kept"])

    assert health.states() == {("p:kept", Capability.TRANSCRIBE): BreakerState.OPEN}


def test_what_is_under_way_at_a_candidate_is_known(clock: Clock) -> None:
    """Balance asks for it; of a candidate that nobody asked yet there is nothing."""
    health = Health(SETTINGS, clock=clock)
    for _ in range(2):
        health.gate("p:m", Capability.CHAT).enter()
    seen = [
        (health.outstanding(one, Capability.CHAT), health.is_full(one, Capability.CHAT))
        for one in ("p:m", "p:new")
    ]

    assert seen == [(2, True), (0, False)]
