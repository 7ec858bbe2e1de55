"""Work stops when its client leaves, and only then."""

import asyncio

import pytest

from junctor.core.errors import ClientGoneError
from junctor.core.presence import Attended


class Line:
    """The client's end of a connection."""

    def __init__(self) -> None:
        self._left = asyncio.Event()

    def leave(self) -> None:
        self._left.set()

    async def receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}


async def test_client_leaves():
    """What runs inside is cancelled, and the error says why."""
    line = Line()
    line.leave()
    with pytest.raises(ClientGoneError):
        async with Attended(line.receive):
            await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_client_stays():
    """Nothing happens to work whose client waits."""
    async with Attended(Line().receive):
        result = await asyncio.sleep(0, "done")

    assert result == "done"


async def test_own_error_wins():
    """An error of the work itself comes out as it is."""
    with pytest.raises(ValueError, match="mine"):
        async with Attended(Line().receive):
            raise ValueError("mine")


async def test_cancelling_from_outside_stays_a_cancel():
    """A cancel by the server is not taken for the client's leaving."""

    async def work():
        async with Attended(Line().receive):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
