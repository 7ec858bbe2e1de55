"""A chat server of OpenAI's dialect on loopback, which answers each request as a test tells it."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

from attrs import define, field

DONE = b"data: [DONE]\n\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n"
_EVENTS = b"text/event-stream; charset=utf-8"


@define(eq=False)
class Call:
    """One request, and the ways to answer it."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    _writer: asyncio.StreamWriter
    left: asyncio.Event = field(factory=asyncio.Event)
    """Set when the other side has closed the connection in the middle of the answer."""
    left_at: float = 0.0
    """When; seconds of `time.monotonic`."""
    sent: int = 0
    """Bytes of the answer that were taken from us."""
    sent_at: float = 0.0
    """When the last of them were."""
    is_broken: bool = False
    """Whether the connection is to be closed behind the answer."""

    @property
    def json(self) -> dict[str, object]:
        """The body."""
        found: dict[str, object] = json.loads(self.body)
        return found

    async def answer(
        self,
        body: bytes,
        *,
        status: int = 200,
        kind: str = "application/json",
        length: int = -1,
        wait: int | None = None,
    ) -> None:
        """Answer whole; a `length` beyond the body's cuts it off, `wait` is a Retry-After."""
        size = len(body) if length < 0 else length
        told = "" if wait is None else f"retry-after: {wait}\r\n"
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{told}content-length: {size}\r\n\r\n"
        )
        self.is_broken = size != len(body)
        await self.write(head.encode() + body)

    async def begin(self) -> None:
        """Begin a stream of events."""
        await self.write(_HEAD % _EVENTS + b"transfer-encoding: chunked\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Send a further piece of a stream."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """End a stream in order."""
        await self.write(b"0\r\n\r\n")

    async def write(self, data: bytes) -> None:
        """Send bytes as they are, and wait until they are taken."""
        self._writer.write(data)
        await self._writer.drain()
        self.sent += len(data)
        self.sent_at = monotonic()


Act = Callable[[Call], Awaitable[None]]
"""Answers one request."""


def chunk(delta: object = None, finish: str | None = None, **more: object) -> bytes:
    """Return one event; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "own"}
    return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Return what a server tells of an answer."""
    total = prompt + completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


GREETING = chunk({"role": "assistant", "content": ""})
HEL, LO = chunk({"content": "Hel"}), chunk({"content": "lo"})
STOP = chunk({}, "stop")
USED = chunk(usage=usage(7, 3))
WORDS = (GREETING, HEL, LO, STOP)
WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "own",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ],
    "usage": usage(7, 3),
}  # fmt: skip


def streams(*pieces: bytes, then: str = "end") -> Act:
    """
    Return an act that streams.

    Args:
        pieces: each sent by itself.
        then: `end`, or `cut` (the connection goes in the middle), or `hang`.

    """

    async def act(call: Call) -> None:
        await call.begin()
        for piece in pieces:
            await call.send(piece)
        if then == "end":
            await call.end()
        elif then == "hang":
            await call.left.wait()
        call.is_broken = then != "end"

    return act


def answers(body: bytes, **more: object) -> Act:
    """Return an act that answers whole; arguments as of `Call.answer`."""

    async def act(call: Call) -> None:
        await call.answer(body, **more)  # type: ignore[arg-type]

    return act


async def honest(call: Call) -> None:
    """Answer as asked: whole or streamed, the usage told where it is wanted."""
    asked = call.json
    if not asked.get("stream"):
        await call.answer(json.dumps(WHOLE).encode())
        return
    options = asked.get("stream_options")
    used = (USED,) if isinstance(options, dict) and options.get("include_usage") else ()
    await streams(*WORDS, *used, DONE)(call)


async def silent(call: Call) -> None:
    """Never answer."""
    await call.left.wait()


@define(eq=False)
class ChatUpstream:
    """The server: start it with `async with`, script it, then ask what it saw."""

    then: Act = honest
    """Answers what the script does not."""
    script: deque[Act] = field(factory=deque)
    calls: list[Call] = field(factory=list)
    under_way: int = 0
    most: int = 0
    """Requests under way at the same time, at most."""
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    @property
    def base_url(self) -> str:
        """The base URL to configure."""
        return f"http://127.0.0.1:{self.port}/v1"

    def forget(self) -> None:
        """Be as at the start."""
        self.script.clear()
        self.calls.clear()
        self.then = honest
        self.most = 0

    async def die(self) -> None:
        """Listen no more, and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.die()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; say whether the connection is good for another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        call = Call(head[0].split(" ")[1], headers, body, writer)
        self.calls.append(call)
        act = self.script.popleft() if self.script else self.then
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        watch = asyncio.create_task(_watch(reader, call))
        try:
            await act(call)
        finally:
            self.under_way -= 1
            watch.cancel()
            await asyncio.wait([watch])  # two may not read at once
        return not call.is_broken and not call.left.is_set()


async def _watch(reader: asyncio.StreamReader, call: Call) -> None:
    """Note when the other side closes; it sends nothing more before the answer is there."""
    with suppress(ConnectionError):
        await reader.read(1)
    call.left_at = monotonic()
    call.left.set()
