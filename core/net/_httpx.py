"""What extends httpx, apart, so that nothing else imports it before an adapter asks for it."""

import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
from attrs import define
from httpx_aiohttp import AiohttpTransport

from junctor.core.net.pool import PoolLimits


@define
class BoundedStream(httpx.AsyncByteStream):
    """An answer's bytes, up to a limit."""

    _stream: httpx.AsyncByteStream
    _limit: int

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield chunks as they come."""
        left = self._limit
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                message = "the answer is longer than allowed"
                raise httpx.ReadError(message)
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back, or drop it when something is left on it."""
        await self._stream.aclose()


class BoundedTransport(AiohttpTransport):
    """The bridge to the pool, with answers of bounded length."""

    def __init__(self, session: aiohttp.ClientSession, limit: int) -> None:
        # The session brings its own TLS context; an unused one spares reading the CA bundle.
        super().__init__(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), client=session)
        self._limit = limit

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and bound what comes back."""
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = BoundedStream(response.stream, self._limit)
        return response


def open_client(session: aiohttp.ClientSession, limits: PoolLimits) -> httpx.AsyncClient:
    """Return a client over the pool's own session."""
    return httpx.AsyncClient(
        transport=BoundedTransport(session, limits.max_answer_bytes),
        timeout=httpx.Timeout(None, connect=limits.connect_timeout),
        headers={"Accept-Encoding": "identity", "User-Agent": "junctor"},
        follow_redirects=False,
        trust_env=False,
    )
