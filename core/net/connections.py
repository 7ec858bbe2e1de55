"""The kept connections of our own HTTP/1.1 client, and the way of a request over one of them."""

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from junctor.core.net.bodies import Body
from junctor.core.net.heads import Origin, address_of, head_of
from junctor.core.net.http1 import Connection
from junctor.core.net.inflating import inflated
from junctor.core.net.wires import BrokenError, CrowdedError, NoAnswerError, Wire, WireError

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

    from junctor.core.net.pool import PoolLimits

STALE_WINDOW = 1.0
"""A kept connection that breaks this soon was closed before it saw the request, seconds."""
MAX_RESENDS = 3
_NEXT_ADDRESS = 0.25
"""Time until the next address of a host is tried beside the first, seconds (RFC 8305)."""
_CLOSE_WITHIN = 1.0

Granted = Connection | None
"""A connection, or the right to open one."""


@define(eq=False)
class Connections:
    """
    A bounded number of connections, all hosts together; who finds none free waits in line.

    What was used last is used next, so that the others grow old and are closed.
    """

    _limits: "PoolLimits"
    faults: tuple[type[Exception], ...] = field(default=(WireError, OSError), init=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _idle: dict[Origin, list[Connection]] = field(factory=dict, init=False)
    _live: set[Connection] = field(factory=set, init=False)
    _taken: int = field(default=0, init=False)
    """Connections that are open or being opened."""
    _line: deque[tuple[Origin, asyncio.Future[Granted]]] = field(factory=deque, init=False)
    _sweeper: asyncio.TimerHandle | None = field(default=None, init=False)
    _clock: asyncio.TimerHandle | None = field(default=None, init=False)
    _due: float = field(default=math.inf, init=False)
    """When the clock looks next which calls are over; one for all, as few ever are."""
    _tls: ssl.SSLContext | None = field(default=None, init=False)
    _closing: asyncio.Event | None = field(default=None, init=False)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Body | None, within: float
    ) -> Wire:
        """
        Send a request and return its answer when the head of it is here.

        A peer may close a kept connection in the very moment that a request goes out on it. Such
        a break comes soon and before any answer; the request goes out again on another one.

        Raises:
            WireError: it cannot be sent, or there is no answer.
            OSError: the host cannot be reached, or the time is up.

        """
        address = address_of(url)
        head = head_of(method, address, headers, body)
        loop = self._loop
        until = loop.time() + within
        for attempt in range(MAX_RESENDS + 1):
            connection = await self._acquire(address.origin, until)
            began = loop.time()
            if until < self._due:
                self._arm(until)
            try:
                await connection.ask(head, body, until=until, is_bodiless=method == "HEAD")
                coding = connection.coding
                return inflated(connection, coding) if coding else connection
            except (NoAnswerError, BrokenError):
                is_stale = connection.was_used and not connection.has_received
                connection.close()
                if not is_stale or loop.time() - began > STALE_WINDOW or attempt == MAX_RESENDS:
                    raise
            except BaseException:
                connection.close()
                raise
        raise NoAnswerError  # pragma: no cover - the loop returns or raises

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        self._closing = asyncio.Event()
        for timer in (self._sweeper, self._clock):
            if timer is not None:
                timer.cancel()
        while self._line:
            self._grant(None)
        if not self._live:
            return
        for connection in tuple(self._live):
            connection.fail(NoAnswerError)
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._closing.wait()
        except TimeoutError:  # pragma: no cover - a loop that is too busy to close sockets
            return

    async def _acquire(self, origin: Origin, until: float) -> Connection:
        if (kept := self._kept(origin)) is not None:
            return kept
        if self._taken < self._limits.max_connections:
            self._taken += 1
        elif self._idle:
            other = next(iter(self._idle))
            self._popped(other, self._idle[other], 0).abort()
        elif (granted := await self._queued(origin, until)) is not None:
            if granted.is_fresh:
                return granted
            granted.abort()
        if self._closing is not None:
            self._freed()
            raise NoAnswerError
        try:
            async with asyncio.timeout_at(until):
                return await self._connected(origin)
        except BaseException:
            self._freed()
            raise

    def _kept(self, origin: Origin) -> Granted:
        while kept := self._idle.get(origin):
            connection = self._popped(origin, kept, -1)
            if connection.is_fresh:
                return connection
            connection.abort()
            self._freed()
        return None

    def _popped(self, origin: Origin, kept: list[Connection], at: int) -> Connection:
        connection = kept.pop(at)
        connection.is_idle = False
        if not kept:
            del self._idle[origin]
        return connection

    async def _queued(self, origin: Origin, until: float) -> Granted:
        future: asyncio.Future[Granted] = self._loop.create_future()
        entry = (origin, future)
        self._line.append(entry)
        until = min(until, self._loop.time() + self._limits.connect_timeout)
        try:
            async with asyncio.timeout_at(until):
                return await future
        except BaseException as exc:
            if entry in self._line:
                self._line.remove(entry)
            elif future.done() and not future.cancelled():  # granted to one who just left
                self._pass_on(future.result())
            if isinstance(exc, TimeoutError):  # no fault of who was to be asked
                raise CrowdedError from None
            raise

    def _pass_on(self, granted: Granted) -> None:
        if granted is None:
            self._freed()
        else:
            self.done(granted, is_clean=granted.is_alive)

    async def _connected(self, origin: Origin) -> Connection:
        from aiohappyeyeballs import start_connection

        scheme, host, port = origin
        async with asyncio.timeout(self._limits.connect_timeout):
            tls = await self._tls_context() if scheme == "https" else None
            found = await self._resolved(host, port)
            sock = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                lambda: Connection(origin, self),
                sock=sock,
                ssl=tls,
                server_hostname=host if tls is not None else None,
            )
        self._live.add(connection)
        if self._closing is not None:
            connection.abort()
        return connection

    async def _resolved(self, host: str, port: int) -> Sequence["AddrInfoType"]:
        kind = socket.SOCK_STREAM
        try:  # an address needs no look-up, and no thread for it
            return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self._loop.getaddrinfo(host, port, type=kind)

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:  # reads the list of authorities
            context = await asyncio.to_thread(ssl.create_default_context)
            context.set_alpn_protocols(["http/1.1"])
            self._tls = self._tls or context
        return self._tls

    def done(self, connection: Connection, *, is_clean: bool) -> None:
        """Keep a connection after a call, or give it to who is first in line."""
        if not is_clean or self._closing is not None:
            connection.abort()
            self._freed()
        elif self._line:
            is_same = self._line[0][0] == connection.origin
            if not is_same:
                connection.abort()
            self._grant(connection if is_same else None)
        else:
            connection.is_idle = True
            connection.idle_since = self._loop.time()
            self._idle.setdefault(connection.origin, []).append(connection)
            if self._sweeper is None:
                self._sweep()

    def lost(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._live.discard(connection)
        if connection.is_idle:
            kept = self._idle[connection.origin]
            self._popped(connection.origin, kept, kept.index(connection))
            self._freed()
        if self._closing is not None and not self._live:
            self._closing.set()

    def _freed(self) -> None:
        """Let the first in line open a connection in the place of one that is gone."""
        self._taken -= 1
        if self._line:
            self._taken += 1
            self._grant(None)

    def _grant(self, granted: Granted) -> None:
        _, future = self._line.popleft()
        if not future.done():
            future.set_result(granted)
        else:
            self._pass_on(granted)

    def _sweep(self) -> None:
        """Close what has been idle for long; come again when the next one is due."""
        loop = self._loop
        self._sweeper = None
        oldest = loop.time() - self._limits.max_idle
        for origin, kept in tuple(self._idle.items()):
            while kept and kept[0].idle_since <= oldest:
                self._popped(origin, kept, 0).abort()
                self._freed()
        if self._idle:
            first = min(kept[0].idle_since for kept in self._idle.values())
            self._sweeper = loop.call_at(first + self._limits.max_idle, self._sweep)

    def _arm(self, due: float) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._due = due
        self._clock = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """End the calls whose time is up; look again when the next one's is."""
        now = self._loop.time()
        self._clock, self._due = None, math.inf
        for connection in tuple(self._live):
            if connection.until <= now:
                connection.fail(TimeoutError)
        due = min((one.until for one in self._live if one.until > now), default=math.inf)
        if due < math.inf:
            self._arm(due)
