"""What extends aiohttp, apart, so that nothing else imports it before it is needed."""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from weakref import WeakSet

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
    hdrs,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload
from attrs import define, field
from yarl import URL

from junctor.core.net.bodies import Body
from junctor.core.net.pool import PoolLimits

STALE_WINDOW = 1.0
"""A kept connection that breaks this soon was closed before it saw the request, seconds."""
MAX_RESENDS = 3
DNS_CACHE_SECONDS = 30
USER_AGENT = "junctor"
_SWITCHED = 101
_LONGEST_REFUSAL = 65536

FAULTS: tuple[type[Exception], ...] = (ClientError, OSError)
"""What a call may raise."""

_used: WeakSet[object] = WeakSet()
"""Connections that have carried a request; aiohttp keeps no such mark on them."""


@lru_cache(maxsize=64)
def timeout_of(total: float, connect: float) -> ClientTimeout:
    """Return a timeout for the whole call and for connecting, seconds; kept, as most are equal."""
    return ClientTimeout(total=total, sock_connect=connect)


def address(url: str) -> str | URL:
    """Return what aiohttp takes for a URL without quoting again what is quoted (and signed)."""
    return URL(url, encoded=True) if "%" in url else url


class Parts(Payload):
    """A `Body` for aiohttp: each part is handed to the socket as it is, none is joined."""

    _default_content_type = "application/octet-stream"
    _autoclose = True

    def __init__(self, body: Body) -> None:
        super().__init__(body, content_type=body.content_type)
        self._body = body
        self._transport: asyncio.Transport | None = None
        self._size = body.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole body as text."""
        return b"".join(self._body.parts).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all parts."""
        self._transport = writer.transport if isinstance(writer, StreamWriter) else None
        for part in self._body.parts:
            await writer.write(part)
        self._transport = None

    def drop(self) -> None:
        """Drop the connection when the answer came before all was sent; closing would send on."""
        if self._transport is not None:
            self._transport.abort()


class Request(ClientRequest):
    """A request that knows whether its connection had served another one before."""

    is_reused = False
    _transport: asyncio.Transport | None = None

    async def send(self, conn: Connection) -> ClientResponse:
        """Send it over this connection."""
        protocol = conn.protocol
        self.is_reused = protocol in _used
        if protocol is not None:
            _used.add(protocol)
            self._transport = protocol.transport
        return await super().send(conn)

    def abort(self) -> None:
        """Drop the connection at once, with what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()


async def resend_stale(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """
    Send again what the peer cannot have served, and leave no half-sent upload behind.

    A peer may close a kept connection in the very moment that a request goes out on it. Such a
    break comes within one round trip and before any answer; aiohttp repeats it for GET only. A
    plain close would first push out what is buffered, for ever where the peer reads nothing.
    """
    resends = 0
    while True:
        began = request.loop.time()
        try:
            return await handler(request)
        except (ClientOSError, ServerDisconnectedError):
            is_quick = request.loop.time() - began < STALE_WINDOW
            if not (is_quick and resends < MAX_RESENDS and _is_resendable(request)):
                raise
        except BaseException:
            if isinstance(request, Request):
                request.abort()
            raise
        resends += 1
        await request.close()


class UpgradeRefusedError(Exception):
    """The peer answered an upgrade to WebSocket with something else."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


async def keep_refusal(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """
    Read what a peer says when it refuses an upgrade; aiohttp throws it away.

    That includes redirects, which aiohttp follows here, and with all of our headers.
    """
    response = await handler(request)
    if hdrs.SEC_WEBSOCKET_KEY not in request.headers or response.status == _SWITCHED:
        return response
    body = b""
    while len(body) < _LONGEST_REFUSAL and (chunk := await response.content.readany()):
        body += chunk
    response.close()
    raise UpgradeRefusedError(response.status, response.headers, body)


def _is_resendable(request: ClientRequest) -> bool:
    is_reused = isinstance(request, Request) and request.is_reused
    return is_reused and not getattr(request.body, "consumed", False)


def open_session(limits: PoolLimits) -> ClientSession:
    """Return a session; whoever opens it closes it."""
    return ClientSession(
        connector=TCPConnector(
            limit=limits.max_connections,
            keepalive_timeout=limits.max_idle,
            ttl_dns_cache=DNS_CACHE_SECONDS,
        ),
        cookie_jar=DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        request_class=Request,
        middlewares=(resend_stale, keep_refusal),
        timeout=ClientTimeout(total=None, sock_connect=limits.connect_timeout),
        trust_env=limits.trust_env,
    )


@define(eq=False)
class _Wire:
    """An answer that came over the session."""

    _response: ClientResponse
    _parts: Parts | None

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def at_end(self) -> bool:
        return self._response.content.at_eof()

    async def next(self) -> bytes:
        return await self._response.content.readany()

    def close(self) -> None:
        self._response.close()
        if self._parts is not None:
            self._parts.drop()


@define(eq=False)
class SessionClient:
    """Sends the relay's requests over the session: the way through a proxy."""

    _session: ClientSession
    _limits: PoolLimits
    faults: tuple[type[Exception], ...] = field(default=FAULTS, init=False)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Body | None, within: float
    ) -> _Wire:
        """Send a request and return its answer when the head of it is here; raises `FAULTS`."""
        parts = None if body is None else Parts(body)
        response = await self._session.request(
            method,
            address(url),
            data=parts,
            headers=headers,
            allow_redirects=False,
            timeout=timeout_of(within, self._limits.connect_timeout),
        )
        return _Wire(response, parts)
