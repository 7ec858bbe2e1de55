"""Streams are closed, whatever becomes of the client."""

import asyncio
from typing import Any, cast

import pytest
from litestar.types import Scope

from junctor.routers.answers import UNREAD, Answer, EventStream
from tests.waiting import until

SCOPE = cast("Scope", {"type": "http"})


class Wire:
    """Keeps what was sent; the client may leave after so many messages."""

    def __init__(
        self, *, leaves_after: int = 1000, stalls: bool = False, stays: bool = False
    ) -> None:
        self._stays = stays
        self.sent: list[dict[str, Any]] = []
        self._leaves_after = leaves_after
        self._stalls = stalls
        self._left = asyncio.Event()

    async def send(self, message):
        self.sent.append(message)
        if len(self.sent) == self._leaves_after:
            if not self._stays:
                self._left.set()
            await (asyncio.Event().wait() if self._stalls else asyncio.sleep(0))

    async def receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(one.get("body", b"") for one in self.sent)


class Source:
    """Events, and whether they were closed."""

    def __init__(self, *events: bytes, endless: bool = False, error: Exception | None = None):
        self.is_closed = False
        self._events, self._endless, self._error = events, endless, error

    async def events(self):
        try:
            for event in self._events:
                yield event
            if self._error:
                raise self._error
            if self._endless:
                await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def stream(source: Source, wire: Wire, *, seconds: float = 60) -> None:
    events = source.events()
    first = await anext(events)
    end = asyncio.get_running_loop().time() + seconds
    answer = EventStream(first=first, rest=events, farewell=b"bye", until=end)
    await answer(SCOPE, wire.receive, wire.send)


async def test_answer():
    """A whole answer has its length and its headers."""
    wire = Wire()
    await Answer(body=b"{}", headers=[("x-a", "b")])(SCOPE, wire.receive, wire.send)

    assert wire.sent[0]["headers"] == [
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
        (b"x-a", b"b"),
    ]
    assert wire.body == b"{}"


async def test_stream_to_its_end():
    """Every event is sent, and the end is said."""
    wire, source = Wire(), Source(b"one", b"two")
    await stream(source, wire)

    assert (b"onetwo", False, True) == (wire.body, wire.sent[-1]["more_body"], source.is_closed)


@pytest.mark.parametrize("messages", [1, 2, 3])
async def test_client_leaves_in_a_send(messages):
    """A client that leaves while a send stalls ends the stream at once."""
    wire, source = Wire(leaves_after=messages, stalls=True), Source(b"one", b"two", endless=True)
    await stream(source, wire)

    assert source.is_closed


async def test_client_leaves_between_events():
    """A client that leaves while the next event is awaited ends the stream too."""
    wire, source = Wire(leaves_after=2), Source(b"one", endless=True)
    await stream(source, wire)

    assert source.is_closed


async def test_client_that_stays_and_reads_nothing():
    """It is left soon after the time of its request is over, and holds nothing any more."""
    wire = Wire(leaves_after=2, stalls=True, stays=True)
    source = Source(b"one", b"two", endless=True)
    await asyncio.wait_for(stream(source, wire, seconds=0.1 - UNREAD), 10)

    assert (source.is_closed, wire.sent[-1].get("more_body")) == (True, True)


async def test_shutdown_with_a_client_that_reads_nothing():
    """The last word is not waited for."""
    wire = Wire(leaves_after=3, stalls=True, stays=True)
    source = Source(b"one", endless=True)
    task = asyncio.create_task(stream(source, wire))
    await until(lambda: wire.body == b"one")
    task.cancel()
    await asyncio.wait_for(task, 10)

    assert source.is_closed


async def test_shutdown():
    """A server that ends says so in the stream, and closes the source."""
    wire, source = Wire(), Source(b"one", endless=True)
    task = asyncio.create_task(stream(source, wire))
    await until(lambda: wire.body == b"one")
    task.cancel()
    await task

    assert (b"onebye", False, True) == (wire.body, wire.sent[-1]["more_body"], source.is_closed)


async def test_error_of_the_source():
    """An error that nobody rendered cuts the connection, and the source is closed."""
    wire, source = Wire(), Source(b"one", error=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await stream(source, wire)

    assert source.is_closed
