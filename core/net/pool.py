"""The connection pool of one set of providers: opened by the first of them, closed by the last."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from junctor.core.net.connections import Connections
from junctor.core.net.relay import Relay
from junctor.core.net.wires import Client

if TYPE_CHECKING:  # heavy: imported when the pool is opened
    import aiohttp
    import httpx


@frozen(kw_only=True)
class PoolLimits:
    """The bounds of a pool. Times are seconds."""

    max_connections: int = 1024
    """Connections open at once, all hosts together; more requests wait for one, no longer than
    connecting may take. The relay's requests have so many, WebSockets and the httpx door together as many again."""
    max_idle: float = 30.0
    """Time that an unused connection is kept."""
    connect_timeout: float = 5.0
    """Time to resolve, connect and shake hands."""
    max_answer_bytes: int = 32 * 1024 * 1024
    """Largest answer that is read, after decompression; a longer one is an error."""
    trust_env: bool = False
    """Whether `HTTPS_PROXY` and its kin are obeyed."""
    heartbeat: float = 20.0
    """Time between pings over a WebSocket; a peer that answers none in half of it is gone."""


@define(eq=False)
class Pool:
    """
    Connections to upstreams, shared; `relay` and `http()` are its two doors.

    Every provider that uses it calls `open` in its `start()` and `close` in its `close()`.
    """

    limits: PoolLimits = field(factory=PoolLimits)
    _users: int = field(default=0, init=False)
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _connections: Connections | None = field(default=None, init=False)
    _session: "aiohttp.ClientSession | None" = field(default=None, init=False)
    _relay: Relay | None = field(default=None, init=False)
    _http: "httpx.AsyncClient | None" = field(default=None, init=False)

    @property
    def relay(self) -> Relay:
        """The quick door; only while the pool is open."""
        if self._relay is None:
            message = "The pool is not open: call `open()` in the provider's `start()` first."
            raise RuntimeError(message)
        return self._relay

    async def http(self) -> "httpx.AsyncClient":
        """
        Return the httpx door: the same client each time, closed with the pool.

        Wrap its use in `network_faults`. Answers are bounded as the relay's are; redirects and
        cookies are not followed or kept.
        """
        session = await self._with_session()
        if self._http is None:
            await asyncio.to_thread(import_module, "httpx_aiohttp")
        if self._http is None:
            from junctor.core.net._httpx import open_client

            self._http = open_client(session, self.limits)
        return self._http

    async def open(self) -> None:
        """Open it for one more user."""
        async with self._lock:
            if self._relay is None:
                self._relay = Relay(await self._client(), self._with_session, self.limits)
            self._users += 1

    async def _client(self) -> Client:
        if not self.limits.trust_env:
            self._connections = Connections(self.limits)
            return self._connections
        await asyncio.to_thread(import_module, "aiohttp")  # which knows proxies
        from junctor.core.net._aiohttp import SessionClient

        return SessionClient(self._opened_session(), self.limits)

    async def _with_session(self) -> "aiohttp.ClientSession":
        """Return the aiohttp session, which most gateways never need."""
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")
        _ = self.relay  # raises where the pool was closed meanwhile
        return self._opened_session()

    def _opened_session(self) -> "aiohttp.ClientSession":
        from junctor.core.net._aiohttp import open_session

        if self._session is None:
            self._session = open_session(self.limits)
        return self._session

    async def close(self) -> None:
        """Leave it; the last user to leave closes every connection."""
        async with self._lock:
            self._users = max(0, self._users - 1)
            if self._users:
                return
            connections, self._connections = self._connections, None
            session, self._session, self._relay, self._http = self._session, None, None, None
            if connections is not None:
                await connections.close()
            if session is not None:
                if session.connector is not None:
                    await session.connector.close(abort_ssl=True)
                await session.close()
