"""Alarms of one loop: they ring in time, and cost one timer."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import cast

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.alarms import STEP, Alarms, running_alarms

Timer = tuple[float, Callable[[], object]]


@define(eq=False)
class Handle:
    """A timer that was set."""

    loop: "Loop"
    timer: Timer

    def cancel(self) -> None:
        if self.timer in self.loop.timers:
            self.loop.timers.remove(self.timer)


@define(eq=False)
class Loop:
    """The clock of a loop, turned by hand."""

    now: float = 100.0
    timers: list[Timer] = field(factory=list)
    made: int = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object], *, context: Context) -> Handle:
        assert not list(context)
        self.made += 1
        self.timers.append((when, call))
        return Handle(self, self.timers[-1])

    def turn(self, until: float) -> None:
        while due := min((one for one in self.timers if one[0] <= until), default=None):
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1]()
        self.now = until


@pytest.fixture(name="loop")
def _loop() -> Loop:
    return Loop()


@pytest.fixture(name="alarms")
def _alarms(loop: Loop) -> Alarms:
    return Alarms(cast("asyncio.AbstractEventLoop", loop))


times = st.lists(st.tuples(st.floats(100.0, 103.0), st.booleans()), min_size=1, max_size=20)


@given(times)
def test_each_rings_once_and_in_time(asked: list[tuple[float, bool]]) -> None:
    """Never before its moment, a step behind it at most; what is taken back never rings."""
    loop = Loop()
    alarms = Alarms(cast("asyncio.AbstractEventLoop", loop))
    rung: dict[int, list[float]] = {number: [] for number in range(len(asked))}
    for number, (at, is_kept) in enumerate(asked):

        def ring(number: int = number) -> None:
            rung[number].append(loop.now)

        alarm = alarms.set(at, ring)
        if not is_kept:
            alarms.clear(alarm, ring)
    loop.turn(104.0)

    for number, (at, is_kept) in enumerate(asked):
        assert len(rung[number]) == is_kept
        assert all(at <= moment <= at + STEP + 1e-9 for moment in rung[number])


def test_a_thousand_that_never_ring_cost_one_timer(loop: Loop, alarms: Alarms) -> None:
    """The timer of the first is that of all behind it, and then there is nothing to look for."""
    for number in range(1000):
        ring = list[int]().clear
        alarms.clear(alarms.set(110.0 + number / 1000, ring), ring)
    loop.turn(200.0)

    assert (loop.made, loop.timers) == (1, [])


def test_an_earlier_one_is_looked_for_first(loop: Loop, alarms: Alarms) -> None:
    """It takes the timer over; the later one gets it back."""
    rung: list[str] = []
    alarms.set(160.0, lambda: rung.append("late"))
    alarms.set(101.0, lambda: rung.append("early"))
    loop.turn(120.0)

    assert (rung, len(loop.timers)) == (["early"], 1)
    loop.turn(161.0)
    assert rung == ["early", "late"]


def test_one_may_set_and_take_back_others(loop: Loop, alarms: Alarms) -> None:
    """Whoever is rung for may change what else is to ring, also in the same moment."""
    rung: list[str] = []

    def other() -> None:
        rung.append("other")

    later = alarms.set(100.05, other)

    def first() -> None:
        rung.append("first")
        alarms.clear(later, other)
        alarms.set(loop.now + 0.5, lambda: rung.append("next"))

    alarms.set(100.01, first)
    loop.turn(102.0)

    assert rung == ["first", "next"]


async def test_the_loop_that_runs() -> None:
    """The alarms are those of the running loop, the same each time, and ring on it."""
    rung = asyncio.Event()
    alarms = running_alarms()
    alarms.set(alarms.loop.time() + 0.01, rung.set)
    await asyncio.wait_for(rung.wait(), 5)

    assert running_alarms() is alarms
    assert alarms.loop is asyncio.get_running_loop()
