"""A WebSocket to an upstream, over the pool."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from attrs import define, field

from junctor.core.errors import ProviderAnswerError, ProviderUnavailableError
from junctor.core.net.faults import Target, provider_error, shown_cause, status_error

if TYPE_CHECKING:  # heavy: imported when a pool is opened
    from aiohttp import ClientSession, ClientWebSocketResponse

LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message from the upstream, at most."""
_CLOSE_WITHIN = 1.0
"""Time to say goodbye, seconds; a peer that takes longer is dropped."""
_GOOD_CODES = frozenset({0, 1000, 1001, 1005})

_encoder = msgspec.json.Encoder()


@define(eq=False)
class Socket:
    """
    An open WebSocket. One task may send while another one receives.

    Raises everywhere: `ProviderUnavailableError` when the connection breaks.
    """

    _socket: "ClientWebSocketResponse"
    target: Target
    _faults: tuple[type[Exception], ...]
    close_code: int | None = field(default=None, init=False)
    """The code with which the peer closed, 0 for none given; None where it has not."""
    close_reason: str = field(default="", init=False, repr=False)
    """What the peer gave as its reason: to be compared with what its documentation says, never
    shown."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message; waits while the peer does not read."""
        try:
            await self._socket.send_bytes(data)
        except self._faults as exc:
            raise provider_error(exc, self.target) from shown_cause(exc)

    async def send_json(self, document: object) -> None:
        """Send a JSON document as a text message."""
        try:
            await self._socket.send_str(_encoder.encode(document).decode())
        except self._faults as exc:
            raise provider_error(exc, self.target) from shown_cause(exc)

    async def receive(self) -> bytes | None:
        """
        Return the next message, text as UTF-8; None when the peer has closed in good order.

        Raises:
            ProviderAnswerError: a message is too large or malformed.

        """
        from aiohttp import WebSocketError, WSMsgType

        try:
            message = await self._socket.receive()
        except self._faults as exc:  # while it answered a ping
            raise provider_error(exc, self.target) from shown_cause(exc)
        match message.type:
            case WSMsgType.TEXT:
                return str(message.data).encode()
            case WSMsgType.BINARY:
                return bytes(message.data)
            case WSMsgType.CLOSE:
                self.close_code, self.close_reason = int(message.data), str(message.extra or "")
                self._farewell(self.close_code)
                return None
            case WSMsgType.ERROR if isinstance(message.data, WebSocketError):
                raise self._broken("sent a message that is too large or malformed")
            case WSMsgType.ERROR:
                raise provider_error(message.data, self.target) from shown_cause(message.data)
            case _:
                self._farewell(self.close_code)
                return None

    def _farewell(self, code: int | None) -> None:
        """Let pass a close in good order; a connection that ends without any is broken."""
        if code not in _GOOD_CODES:
            how = "without a farewell" if code is None else f"with close code {code}"
            raise ProviderUnavailableError(
                f"{self.target.provider} broke the connection {how}.",
                provider=self.target.provider,
                model=self.target.model,
            )

    def _broken(self, sentence: str) -> ProviderAnswerError:
        return ProviderAnswerError(
            f"{self.target.provider} {sentence}.",
            provider=self.target.provider,
            model=self.target.model,
        )

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield messages until the peer closes in good order; raises as `receive` does."""
        while (message := await self.receive()) is not None:
            yield message


@asynccontextmanager
async def opened(
    session: "ClientSession",
    url: str,
    headers: Mapping[str, str],
    *,
    target: Target,
    within: float,
    heartbeat: float,
) -> AsyncIterator[Socket]:
    """Open a WebSocket; `junctor.core.net.Relay.socket` says the rest."""
    response = await _connected(
        session, url, headers, target=target, within=within, heartbeat=heartbeat
    )
    connection = response._conn  # noqa: SLF001  # aiohttp offers no other way to drop it
    transport = None if connection is None else connection.transport
    try:
        yield Socket(response, target, _faults())
    finally:
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await response.close()
        except TimeoutError:
            if transport is not None:
                transport.abort()


async def _connected(
    session: "ClientSession",
    url: str,
    headers: Mapping[str, str],
    *,
    target: Target,
    within: float,
    heartbeat: float,
) -> "ClientWebSocketResponse":
    from aiohttp import ClientWSTimeout, WSServerHandshakeError

    from junctor.core.net._aiohttp import address

    try:
        async with asyncio.timeout(within):
            return await session.ws_connect(
                address(url),
                headers=headers,
                heartbeat=heartbeat,
                max_msg_size=LARGEST_MESSAGE,
                timeout=ClientWSTimeout(ws_close=_CLOSE_WITHIN),
            )
    except WSServerHandshakeError as exc:
        raise status_error(target, exc.status, exc.headers or {}) from shown_cause(exc)
    except _faults() as exc:
        raise provider_error(exc, target) from shown_cause(exc)


def _faults() -> tuple[type[Exception], ...]:
    from junctor.core.net._aiohttp import FAULTS

    return FAULTS
