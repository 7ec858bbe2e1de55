"""Named timers ring once, or not at all."""

import asyncio

from junctor.core.engine.timers import Timers


async def test_rings_once_and_forgets():
    """A timer calls its action and is gone."""
    timers, rung = Timers(), asyncio.Event()
    timers.arm("bell", 0.001, rung.set)
    assert "bell" in timers
    await asyncio.wait_for(rung.wait(), 5)

    assert "bell" not in timers


async def test_rearming_replaces():
    """Arming a name again forgets what it was armed for."""
    timers, rung = Timers(), []
    done = asyncio.Event()
    timers.arm("bell", 0.0, lambda: rung.append("old"))
    timers.arm("bell", 0.001, done.set)
    await asyncio.wait_for(done.wait(), 5)

    assert [] == rung


async def test_disarms_by_name_or_all():
    """A disarmed timer never rings."""
    timers = Timers()
    for name in "abc":
        timers.arm(name, 1000, lambda: None)
    timers.disarm("a")
    assert "b" in timers
    timers.disarm()

    assert not [name for name in "abc" if name in timers]
