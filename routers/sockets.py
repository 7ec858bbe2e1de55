"""WebSockets of live sessions: bounded sends and receives, a clear end, and a shutdown that waits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from litestar import Litestar, WebSocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect

from junctor.core.errors import OverloadedError
from junctor.core.presence import gone
from junctor.routers.visits import shutting_down

DEFECT, RESTART = 1011, 1012
_LONGEST_REASON = 123
_TURN = 16
_SOCKETS = "sockets"

Socket = WebSocket[None, None, State]
"""What handlers take: no user, no session."""

_encoder = msgspec.json.Encoder()


class Sockets:
    """The live sessions of this process; a shutdown asks each to finish, and waits."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._stops: set[Callable[[], None]] = set()
        self._left = asyncio.Event()

    @contextmanager
    def joined(self, stop: Callable[[], None], *, limit: int) -> Iterator[None]:
        """
        Count a session in for the length of the block.

        Args:
            stop: asks it to say its last words and end.
            limit: sessions at most, those included that are not admitted yet.

        Raises:
            OverloadedError: there are as many as there may be, or the server is shutting down.

        """
        if self.is_stopping:
            raise shutting_down()
        if len(self._stops) >= limit:
            raise OverloadedError("The server has as many sessions under way as it may.")
        self._stops.add(stop)
        try:
            yield
        finally:
            self._stops.discard(stop)
            self._left.set()

    async def drain(self, within: float) -> None:
        """Take no more sessions, ask all to end, and wait for them, some seconds at most."""
        self.is_stopping = True
        for stop in tuple(self._stops):
            stop()
        try:
            async with asyncio.timeout(within):
                while self._stops:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return  # the server's own shutdown closes them


def sockets_of(app: Litestar) -> Sockets:
    """Return the live sessions of an application."""
    sockets: Sockets = app.state.setdefault(_SOCKETS, Sockets())
    return sockets


class Wire:
    """
    One client's socket.

    Args:
        socket: not accepted yet.
        send_timeout: time that the client has to read what it is sent, seconds.

    """

    def __init__(self, socket: Socket, *, send_timeout: float) -> None:
        self._socket = socket
        self._send_timeout = send_timeout
        self._received = 0

    async def accept(self, subprotocol: str | None = None) -> None:
        """Take the connection."""
        await self._socket.accept(subprotocols=subprotocol)

    async def receive(self) -> str | bytes:
        """
        Return the next message.

        Raises:
            ClientGoneError: the client has left.

        """
        self._received += 1
        if not self._received % _TURN:
            await asyncio.sleep(0)  # messages that are there already come at once, by the thousand
        try:
            message = await self._socket.receive()
        except WebSocketDisconnect as exc:  # it was told before
            raise gone() from exc
        if message["type"] != "websocket.receive":
            raise gone()
        text = message.get("text")
        return (message.get("bytes") or b"") if text is None else text

    async def send(self, message: msgspec.Struct) -> None:
        """
        Send a message as JSON.

        Raises:
            ClientGoneError: the client has left, or does not read.

        """
        data = _encoder.encode(message).decode()
        try:
            async with asyncio.timeout(self._send_timeout):
                await self._socket.send_data(data, mode="text")
        except (OSError, WebSocketDisconnect) as exc:  # TimeoutError is one
            raise gone() from exc
        await asyncio.sleep(0)  # a send returns at once while there is room in the kernel

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; nothing happens when the client has left."""
        shown = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        try:
            async with asyncio.timeout(self._send_timeout):
                await self._socket.close(code=code, reason=shown)
        except (OSError, RuntimeError, WebSocketDisconnect):
            return


def close_code(status: int, *, is_stopping: bool = False) -> int:
    """
    Return the close code of an error: 4000 and its HTTP status, where that says enough.

    Args:
        status: HTTP status of the error in its contract.
        is_stopping: whether the server ends it because it is shutting down.

    """
    if is_stopping:
        return RESTART
    return DEFECT if status == 500 else 4000 + status  # noqa: PLR2004
