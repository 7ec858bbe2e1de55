"""A WebSocket to an upstream, over the pool."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from attrs import define

from junctor.core.errors import ProviderAnswerError, ProviderTimeoutError, ProviderUnavailableError
from junctor.core.net.faults import Target, provider_error, shown_cause, status_error

if TYPE_CHECKING:  # heavy: imported when a pool is opened
    from aiohttp import ClientSession, ClientWebSocketResponse

HEARTBEAT = 20.0
"""Seconds between pings; a peer that answers none within half of it is gone."""
LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message from the upstream, at most."""
_CLOSE_WITHIN = 2.0

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

    @property
    def close_code(self) -> int | None:
        """The code with which the peer closed; None while it is open."""
        return self._socket.close_code

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
        from aiohttp import WSMsgType

        message = await self._socket.receive()
        match message.type:
            case WSMsgType.TEXT:
                return str(message.data).encode()
            case WSMsgType.BINARY:
                return bytes(message.data)
            case WSMsgType.CLOSE | WSMsgType.CLOSING | WSMsgType.CLOSED:
                self._farewell()
                return None
            case _:
                raise self._broken("sent a message that is too large or malformed")

    def _farewell(self) -> None:
        code = self._socket.close_code
        if code not in {None, 1000, 1001, 1005}:
            fault = self._socket.exception()
            cause = None if fault is None else shown_cause(fault)
            raise ProviderUnavailableError(
                f"{self.target.provider} broke the connection (close code {code}).",
                provider=self.target.provider,
                model=self.target.model,
            ) from cause

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
) -> AsyncIterator[Socket]:
    """Open a WebSocket; `junctor.core.net.Relay.socket` says the rest."""
    from aiohttp import ClientWSTimeout, WSServerHandshakeError

    from junctor.core.net._aiohttp import FAULTS, address

    try:
        async with asyncio.timeout(within):
            response = await session.ws_connect(
                address(url),
                headers=headers,
                heartbeat=HEARTBEAT,
                max_msg_size=LARGEST_MESSAGE,
                timeout=ClientWSTimeout(ws_close=_CLOSE_WITHIN),
            )
    except WSServerHandshakeError as exc:
        raise status_error(target, exc.status, exc.headers or {}) from shown_cause(exc)
    except TimeoutError as exc:
        raise ProviderTimeoutError(
            f"{target.provider} did not answer in time.",
            provider=target.provider,
            model=target.model,
        ) from exc
    except FAULTS as exc:
        raise provider_error(exc, target) from shown_cause(exc)
    try:
        yield Socket(response, target, FAULTS)
    finally:
        await response.close()
