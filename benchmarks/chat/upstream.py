"""
A chat upstream on loopback that streams as the request says: `python -m benchmarks.chat.upstream PORT`.

A stream has `max_tokens` chunks, `seed` milliseconds apart. The content of each is when the request
arrived and when the chunk was sent, by the machine's monotonic clock, and that of the last, which
comes with the end, the checksum of all others: so the reader knows delays, and whether it has all.
The first word of the last message names a stream; `GET /closed` tells which were left before their
end, and when.
"""

import asyncio
import json
import socket
import sys
from time import perf_counter
from typing import cast
from zlib import crc32

import httptools
import msgspec
import uvloop

ANSWER = (
    '{"id":"chatcmpl-benchmark","object":"chat.completion","created":1760000000,"model":'
    '"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":'
    '"A gateway takes requests in one shape and sends each to the server that should answer it. '
    'It knows keys, limits and prices, and keeps a ledger.","refusal":null},"logprobs":null,'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":57,"completion_tokens":31,"total_tokens":88},'
    '"service_tier":"default","system_fingerprint":"fp_benchmark"}'
)
"""A chat completion of about 500 bytes."""
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_EVENT = (
    'data: {"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1760000000,'
    '"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_benchmark",'
    '"choices":%s,"usage":%s}\n\n'
)
_CHOICE = '[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]'
_USAGE = '{"prompt_tokens":57,"completion_tokens":%d,"total_tokens":%d}'


class _Message(msgspec.Struct):
    content: str = ""


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Asked(msgspec.Struct):
    messages: list[_Message] = []
    stream: bool = False
    max_tokens: int = 0
    max_completion_tokens: int = 0
    seed: int = 0
    stream_options: _StreamOptions | None = None

    @property
    def chunks(self) -> int:
        """How many it wants; some gateways write the newer name."""
        return self.max_tokens or self.max_completion_tokens


class Connection(asyncio.Protocol):
    """
    One connection of a gateway.

    Args:
        closed: where it notes the streams that were left, by name.

    """

    def __init__(self, closed: dict[str, float]) -> None:
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._asked, self._left = _Asked(), 0
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._url, self._body, self._arrived = b"", bytearray(), 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and wait for nobody."""
        self._transport = cast("asyncio.Transport", transport)
        sock = cast("socket.socket", transport.get_extra_info("socket"))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Note a stream that is not over."""
        if self._timer is not None:
            self._timer.cancel()
            self._closed[self._name()] = perf_counter()

    def _name(self) -> str:
        return self._asked.messages[-1].content.partition(" ")[0]

    def on_url(self, url: bytes) -> None:
        """Take the path."""
        self._url = url

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._body += data

    def on_message_complete(self) -> None:
        """Answer."""
        self._arrived = perf_counter()
        if self._url == b"/closed":
            self._answer(json.dumps(self._closed))
            self._closed.clear()
        elif not self._body:
            self._answer("{}")
        else:
            self._asked = msgspec.json.decode(self._body, type=_Asked)
            if self._asked.stream:
                self._transport.write(_HEAD)
                self._left, self._due = self._asked.chunks, self._loop.time()
                self._rest(0)
            else:
                self._answer(ANSWER)
        self._url, self._body = b"", bytearray()

    def _answer(self, text: str) -> None:
        body = text.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)

    def _rest(self, checksum: int) -> None:
        self._due += self._asked.seed / 1000
        self._timer = self._loop.call_at(self._due, self._chunk, checksum)

    def _chunk(self, checksum: int) -> None:
        is_first = self._left == self._asked.chunks
        content = f"{self._arrived:.6f}/{perf_counter():.6f} "
        role = '"role":"assistant",' if is_first else ""
        self._transport.write(_framed(_delta(f'{{{role}"content":"{content}"}}')))
        checksum = crc32(content.encode(), checksum)
        self._left -= 1
        if self._left:
            self._rest(checksum)
        else:
            self._timer = None
            self._end(checksum)

    def _end(self, checksum: int) -> None:
        events = [_delta(f'{{"content":"#{checksum:08x}"}}'), _delta("{}", '"stop"')]
        if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
            count = self._asked.chunks
            events.append(_EVENT % ("[]", _USAGE % (count, count + 57)))
        events.append("data: [DONE]\n\n")
        self._transport.write(_framed("".join(events)) + b"0\r\n\r\n")


def _delta(delta: str, reason: str = "null") -> str:
    return _EVENT % (_CHOICE % (delta, reason), "null")


def _framed(text: str) -> bytes:
    body = text.encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    closed: dict[str, float] = {}
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(closed), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
