"""Sessions of a process are counted, bounded, and asked to end; close codes say why."""

import asyncio
import socket
from typing import cast

import pytest

from junctor.conf.settings import Server
from junctor.core.errors import OverloadedError
from junctor.routers.server import UNREAD, _bound
from junctor.routers.sockets import Socket, Sockets, Wire, close_code


async def test_draining_asks_all_and_waits():
    """It is over when the last session has ended, and no new one is taken meanwhile."""
    sockets, asked = Sockets(), asyncio.Event()

    async def session() -> None:
        with sockets.joined(asked.set, limit=1):
            await asked.wait()

    task = asyncio.create_task(session())
    await asyncio.sleep(0)
    await sockets.drain(5.0)

    assert task.done() or not task.cancelling()
    with pytest.raises(OverloadedError, match="shutting down"):
        sockets.joined(asked.set, limit=1).__enter__()


async def test_draining_does_not_wait_for_ever():
    """A session that does not end is left to the server's own shutdown."""
    sockets = Sockets()
    with sockets.joined(lambda: None, limit=1):
        async with asyncio.timeout(20):
            await sockets.drain(0.01)


def test_sessions_are_bounded():
    """Those that are not admitted yet count too."""
    sockets = Sockets()
    with sockets.joined(lambda: None, limit=1), pytest.raises(OverloadedError, match="as many"):
        sockets.joined(lambda: None, limit=1).__enter__()


@pytest.mark.parametrize(
    ("status", "is_stopping", "code"),
    [
        (400, False, 4400),
        (429, False, 4429),
        (502, False, 4502),
        (500, False, 1011),
        (429, True, 1012),
    ],
)
def test_close_codes(status, is_stopping, code):
    """4000 and the status; a defect and a restart have codes of their own."""
    assert code == close_code(status, is_stopping=is_stopping)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_clients_that_take_nothing_lose_their_connection():
    """The kernel drops a peer whose window stays shut."""
    with _bound(Server(port=0)) as listener:
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert told == UNREAD * 1000


class Flood:
    """A client whose messages are all there."""

    async def receive(self):
        return {"type": "websocket.receive", "bytes": b"12"}


async def test_a_flood_of_messages_lets_others_go_on():
    """Thousands of small messages that came in one piece do not hold the event loop."""
    wire, is_over = Wire(cast("Socket", Flood()), send_timeout=1.0), asyncio.Event()
    asyncio.get_running_loop().call_soon(is_over.set)
    received = 0
    while not is_over.is_set() and received < 1_000:
        await wire.receive()
        received += 1

    assert received < 100
