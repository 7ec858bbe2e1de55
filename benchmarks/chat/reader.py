"""A client that reads chat streams on one kept connection, and what it can say of each afterwards."""

import asyncio
import socket
from collections.abc import Iterator
from time import perf_counter
from typing import Self, cast
from zlib import crc32

import httptools
import msgspec
from attrs import define, field

from benchmarks.load import request
from benchmarks.targets import Target

PATH = "/v1/chat/completions"
_FILLER = (
    "In two sentences: what does a gateway in front of language models do, and what does it have to "
    "know of those who ask, of the models behind it and of their prices? Leave out what every proxy "
    "does anyway, and say where a cache in front of it would help and where it would be wrong."
)


def question(name: str = "benchmark", **more: object) -> bytes:
    """Return a body of about 500 bytes; `name` begins its last message."""
    messages = [
        {
            "role": "system",
            "content": "You answer briefly, in plain words, and say what is unknown.",
        },
        {"role": "user", "content": f"{name} {_FILLER}"},
    ]
    asked = {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.2, **more}
    return msgspec.json.encode(asked)


def post(target: Target, body: bytes, **headers: str) -> bytes:
    """Return the request with which a target is asked."""
    sent = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {target.key}",
        **target.headers,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return request(PATH, body, sent)


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


@define(kw_only=True)
class Delay:
    """Of one chunk, seconds."""

    forward: float
    """From the sending of the request until it was with the upstream."""
    back: float
    """From the upstream's sending of the chunk until it was here."""


@define(kw_only=True)
class Stream:
    """One answer, as it came."""

    sent: float
    status: int = 0
    pieces: list[tuple[float, bytes]] = field(factory=list)
    """With their time."""
    is_over: bool = False

    def _contents(self) -> Iterator[tuple[float, str]]:
        """Yield the content of each event, with the time at which the event was whole."""
        rest = b""
        for at, piece in self.pieces:
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                if event.startswith(b"data: {"):
                    chunk = msgspec.json.decode(event[6:], type=_Chunk)
                    yield at, "".join(one.delta.content or "" for one in chunk.choices)

    def delays(self) -> list[Delay]:
        """Return what each chunk had to wait for; a piece of text that is none is left out."""
        return [
            Delay(forward=float(arrived) - self.sent, back=at - float(left))
            for at, content in self._contents()
            for arrived, _, left in (stamp.partition("/") for stamp in content.split())
            if left
        ]

    def is_whole(self, chunks: int) -> bool:
        """Return whether all chunks came, unchanged and in order, and `[DONE]` last."""
        text, _, checksum = "".join(content for _, content in self._contents()).rpartition("#")
        body = b"".join(piece for _, piece in self.pieces)
        return (
            self.is_over
            and len(text.split()) == chunks
            and checksum == f"{crc32(text.encode()):08x}"
            and body.rstrip().endswith(b"\n\ndata: [DONE]")
        )


class Reader(asyncio.Protocol):
    """
    Reads one stream after the other.

    Use `Reader.connect`.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._stream = Stream(sent=0.0)
        self._parser = httptools.HttpResponseParser(self)
        self._events = 0
        self._until = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Connect to a port of loopback."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(cls, "127.0.0.1", port)
        return made

    async def read(self, payload: bytes, *, events: int = 0, seconds: float = 120) -> Stream:
        """
        Ask, and return the answer.

        Args:
            payload: the request.
            events: leave after so many, without a word; 0 to read to the end.
            seconds: to wait for it.

        """
        self._parser = httptools.HttpResponseParser(self)
        self._stream, self._events, self._until = Stream(sent=perf_counter()), 0, events
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(payload)
        await asyncio.wait_for(self._done, seconds)
        return self._stream

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and wait for nobody."""
        self._transport = cast("asyncio.Transport", transport)
        sock = cast("socket.socket", transport.get_extra_info("socket"))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Give up the stream that is not over."""
        self._end()

    def on_body(self, data: bytes) -> None:
        """Note a piece, and leave where that was wanted."""
        self._stream.pieces.append((perf_counter(), data))
        if self._until:
            self._events += data.count(b"\n\n")
            if self._events >= self._until:
                self._end()

    def on_message_complete(self) -> None:
        """Note the end."""
        self._stream.is_over = True
        self._end()

    def _end(self) -> None:
        self._stream.status = self._parser.get_status_code()
        if not self._done.done():
            self._done.set_result(None)
