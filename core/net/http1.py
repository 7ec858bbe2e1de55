"""
One HTTP/1.1 connection to an upstream: a request goes out, its answer comes in, then the next.

Own code, because a gateway does little else: of the CPU that a relayed chat request costs,
aiohttp's session took two thirds, and httptools, which uvicorn parses with, needs a tenth of that.
It does what a relay needs and no more: no redirects, cookies, proxies or upgrades.

An error is kept as its class and made where it is raised: an exception kept here would hold the
frames of the call, and these what was uploaded.
"""

import asyncio
import math
import select
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, cast

import httptools

from junctor.core.net.bodies import Body
from junctor.core.net.heads import Origin
from junctor.core.net.wires import BrokenError, CutError, NoAnswerError, NotHttpError

MAX_HEAD = 64 * 1024
"""Bytes that an answer may send without any of its body: its head, or its trailers."""
HIGH_WATER = 256 * 1024
"""Bytes of an answer that wait for their reader before the peer has to wait."""
_JOINED = 64 * 1024
"""Largest request that is sent as one piece of memory, bytes."""
_AT_ONCE = 1024 * 1024
"""Largest request that is handed over at once; more goes in slices, as the peer takes them."""
_SLICE = 256 * 1024
_SWITCHED, _OK, _REDIRECTS = 101, 200, 300


class Keeper(Protocol):
    """Who owns a connection."""

    def done(self, connection: "Connection", *, is_clean: bool) -> None:
        """Take it back from a call; clean is what another request can go out on."""

    def lost(self, connection: "Connection") -> None:
        """Forget it: it is closed."""


class Headers(Mapping[str, str]):
    """The headers of an answer, decoded when looked up; of a repeated one the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode()].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Connection(asyncio.Protocol):
    """One connection, which carries one call at a time; a `Wire` from `ask` to `close`."""

    status = 0
    headers: Mapping[str, str] = Headers({})
    until = math.inf
    """When the call must be over, loop time; it is for the keeper to end it then."""
    idle_since = 0.0
    """When its last answer was read, loop time."""
    is_idle = False
    was_used = False
    """Whether it had carried a call before this one."""
    has_received = False
    """Whether any byte of an answer has come."""
    coding = ""
    """The answer's content coding."""

    def __init__(self, origin: Origin, keeper: Keeper) -> None:
        self.origin: Final = origin
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._inbox = select.poll()
        self._waiter: asyncio.Future[None] | None = None
        self._is_full = self._is_paused = False
        self._forget()

    def _forget(self) -> None:
        """Be as between two calls."""
        self._chunks: list[bytes] = []
        self._fields: dict[bytes, bytes] = {}
        self._waiting = 0  # bytes in the chunks
        self._bare = 0  # bytes since the last one of a body
        self._fault: type[Exception] | None = None
        self._is_asked = self._has_head = self._is_whole = self._is_interim = False
        self._is_bodiless = self._is_reusable = False
        self._is_sent = True

    # A call: what the relay does.

    async def ask(
        self, head: bytes, body: Body | None, *, until: float, is_bodiless: bool = False
    ) -> None:
        """
        Send a request and wait for the head of its answer.

        Args:
            head: all that goes before the body.
            body: what to send.
            until: when it must be over, the reading of the answer included; loop time.
            is_bodiless: whether the answer has none whatever its head says, as with HEAD.

        Raises:
            NoAnswerError: the connection was closed first.
            BrokenError: it broke.
            NotHttpError: the answer is none.
            TimeoutError: the time is up.

        """
        transport = self._transport
        self.has_received = False
        if transport is None or transport.is_closing():
            raise NoAnswerError
        self._is_asked, self._is_bodiless = True, is_bodiless
        self.until = until
        if body is None:
            transport.write(head)
        elif len(head) + body.size <= _JOINED:
            transport.write(b"".join((head, *body.parts)))
        elif body.size <= _AT_ONCE:
            transport.writelines((head, *body.parts))
        else:
            await self._upload(transport, (head, *body.parts))
        while not self._has_head:
            if self._fault is not None:
                raise self._fault
            await self._news()

    async def _upload(self, transport: asyncio.Transport, parts: tuple[bytes, ...]) -> None:
        """Send slice by slice; stop at an answer that wants no more, or at a fault."""
        self._is_sent = False
        for part in parts:
            view = memoryview(part)
            for at in range(0, len(view), _SLICE):
                while self._is_full and not self._has_head and self._fault is None:
                    await self._news()
                if self._is_whole or self._fault is not None or self.status >= _REDIRECTS:
                    return
                transport.write(view[at : at + _SLICE])
        self._is_sent = True

    async def next(self) -> bytes:
        """Return what has arrived and was not returned yet, b"" at the end; raises as `ask`."""
        while not self._chunks:
            if self._is_whole:
                return b""
            if self._fault is not None:
                raise self._fault
            await self._news()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._waiting = 0
        if self._is_paused:
            self._resume()
        return data

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been returned."""
        return self._is_whole and not self._chunks

    def close(self) -> None:
        """End the call: what is kept is fit for another one, all else is dropped."""
        self.until = math.inf
        is_clean = self._is_reusable and self._is_sent and self.is_alive
        self._forget()
        self.status, self.headers, self.was_used = 0, Connection.headers, True
        if self._is_paused:
            self._resume()
        if not is_clean:
            self.abort()
        self._keeper.done(self, is_clean=is_clean)

    def abort(self) -> None:
        """Close it at once, with what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def _news(self) -> asyncio.Future[None]:
        """Return what is done when something has come, or can go out; one waits at a time."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, fault: type[Exception]) -> None:
        """Close it under a call, which ends with this fault unless its answer is whole."""
        if not self._is_whole:
            self._fault = self._fault or fault
            self._is_reusable = False
            self._wake()
        self.abort()

    @property
    def is_alive(self) -> bool:
        """Whether another request can go out on it."""
        transport = self._transport
        return (
            transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    @property
    def is_fresh(self) -> bool:
        """
        Whether it is alive, and nothing lies unread in it.

        Nobody asked for that: an end, or an answer that the next request would take for its own,
        and whoever comes behind it for theirs. Costs a system call, less than a microsecond.
        """
        return self.is_alive and not self._inbox.poll(0)

    def _pause(self) -> None:
        if self._transport is not None and not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._inbox.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and wake the reader once for all of it."""
        if self._is_whole or not self._is_asked:
            self._is_reusable = False
            self.abort()
            return
        self.has_received = True
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._is_reusable = False
            if not self._is_whole:
                self.fail(NotHttpError)
        if self._bare > MAX_HEAD and not self._is_whole:
            self.fail(NotHttpError)
        if self._waiting > HIGH_WATER:
            self._pause()
        if self._has_head:
            self._wake()

    def eof_received(self) -> bool:
        """Take the end; what was still to be sent would find nobody."""
        self._end(NoAnswerError)
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end, and let go of the parser, which refers to us."""
        self._end(NoAnswerError if exc is None else BrokenError)
        del self._parser
        self._transport = None
        self._keeper.lost(self)

    def pause_writing(self) -> None:
        """Hold the upload."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Let it go on."""
        self._is_full = False
        self._wake()

    def _end(self, fault: type[Exception]) -> None:
        if self._is_whole or self._fault is not None:
            return
        if not self._has_head:
            self._fault = fault
        elif fault is NoAnswerError and self._ends_with_connection():
            self._is_whole = True
        else:
            self._fault = CutError
        self._wake()

    def _ends_with_connection(self) -> bool:
        return b"content-length" not in self._fields and b"transfer-encoding" not in self._fields

    # What the parser tells.

    def on_message_begin(self) -> None:
        """Take the begin of an answer; of a second one there was no question."""
        if self._is_whole:
            self._is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers are let pass."""
        if not self._has_head:
            self._fields.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Take the head, unless it is one of those that go before the real one."""
        status = self._parser.get_status_code()
        coding = self._fields.get(b"transfer-encoding", b"chunked").lower()
        if status == _SWITCHED or coding != b"chunked":
            raise NotHttpError  # out of feed_data, as an error of the parser
        if status < _OK:
            self._is_interim, self._fields = True, {}
            return
        if self._is_whole:
            return
        self.status, self.headers = status, Headers(self._fields)
        self.coding = self._fields.get(b"content-encoding", b"").decode("latin-1")
        self._has_head = True
        self._is_whole = self._is_bodiless

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if not self._is_whole:
            self._chunks.append(data)
            self._waiting += len(data)
            self._bare = 0

    def on_message_complete(self) -> None:
        """Take the end of an answer."""
        if self._is_interim:
            self._is_interim = False
        elif not self._is_whole and self._has_head:
            self._is_whole = True
            self._is_reusable = (
                self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
            )
