"""The monitor sees who blocks the loop."""

import asyncio
import time

from junctor.core.testing.lag import LoopLag


async def test_sees_a_stall():
    """A blocking call shows with its length."""
    async with LoopLag() as lag:
        time.sleep(0.3)  # noqa: ASYNC251 - that is what is to be seen

    assert 0.28 < lag.worst < 5.0


async def test_waiting_is_no_stall():
    """Waiting does not count."""
    async with LoopLag() as lag:
        await asyncio.sleep(0.6)

    assert lag.worst < 0.5
