"""
What a request costs our own HTTP/1.1 client, beside aiohttp's session and a bare httptools loop.

``python -m benchmarks.http_client`` starts nginx and a streaming upstream on the other core, then
asks them through each client in turn, some rounds over: a chat-sized answer, a 320 KB upload, and
many slow streams, each chunk of which wakes the client. It prints CPU time per request, or chunk,
and its ratio to ours. The bare loop checks nothing, has no time limit and keeps no connections in
order: it is what is possible, no candidate. Quote ratios of one run only.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from statistics import median
from time import process_time
from typing import Protocol, cast

import aiohttp
import httptools
import uvloop
from attrs import define, field

from benchmarks.chat.peers import start_stream_upstream
from benchmarks.chat.reader import PATH, question
from benchmarks.chat.upstream import ANSWER
from benchmarks.targets import TARGET_CORE, start_upstream
from junctor.core.net import Body, Pool, Target

CONCURRENCY = 16
TARGET = Target("benchmark")
HEADERS = {"Authorization": "Bearer sk-benchmark"}
UPLOAD = Body(parts=(b"h" * 400, bytes(320 * 1024), b"t" * 40), content_type="audio/wav")
OURS = "junctor's relay"


class Client(Protocol):
    """One way to send."""

    async def ask(self, url: str, body: Body) -> bytes:
        """Return a whole answer."""

    async def stream(self, url: str, body: Body) -> int:
        """Return how many times the client was woken for a stream."""


@define
class Ours:
    """The relay."""

    _pool: Pool

    async def ask(self, url: str, body: Body) -> bytes:
        """Return a whole answer."""
        answer = await self._pool.relay.post(
            url, headers=HEADERS, body=body, target=TARGET, within=60
        )
        return answer.checked(TARGET)

    async def stream(self, url: str, body: Body) -> int:
        """Return how many times the client was woken for a stream."""
        chunks = 0
        async with self._pool.relay.stream(
            url, headers=HEADERS, body=body, target=TARGET, within=60
        ) as answer:
            while await answer.next():
                chunks += 1
        return chunks


@define
class Session:
    """aiohttp's session."""

    _session: aiohttp.ClientSession

    def _post(self, url: str, body: Body) -> "aiohttp.client._RequestContextManager":
        headers = {**HEADERS, "Content-Type": body.content_type}
        return self._session.post(url, data=b"".join(body.parts), headers=headers)

    async def ask(self, url: str, body: Body) -> bytes:
        """Return a whole answer."""
        async with self._post(url, body) as answer:
            return await answer.read()

    async def stream(self, url: str, body: Body) -> int:
        """Return how many times the client was woken for a stream."""
        chunks = 0
        async with self._post(url, body) as answer:
            while await answer.content.readany():
                chunks += 1
        return chunks


class _Wire(asyncio.Protocol):
    """A connection of the bare loop."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._news = asyncio.get_running_loop().create_future()
        self._pieces: list[bytes] = []
        self._is_whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, pieces: Sequence[bytes]) -> None:
        self._is_whole = False
        self._transport.writelines(pieces)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if not self._news.done():
            self._news.set_result(None)

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._is_whole = True

    async def next(self) -> bytes:
        while not self._pieces and not self._is_whole:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def close(self) -> None:
        self._transport.abort()


@define
class Bare:
    """httptools and a socket."""

    _kept: dict[str, list[_Wire]] = field(factory=dict)

    async def _sent(self, url: str, body: Body) -> _Wire:
        host, port = url.split("/")[2].split(":")
        kept = self._kept.setdefault(port, [])
        loop = asyncio.get_running_loop()
        wire = kept.pop() if kept else (await loop.create_connection(_Wire, host, int(port)))[1]
        size = sum(map(len, body.parts))
        head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n".encode()
        wire.send((head, *body.parts))
        return wire

    async def ask(self, url: str, body: Body) -> bytes:
        """Return a whole answer."""
        wire = await self._sent(url, body)
        pieces = []
        while piece := await wire.next():
            pieces.append(piece)
        self._kept[url.split("/")[2].split(":")[1]].append(wire)
        return b"".join(pieces)

    async def stream(self, url: str, body: Body) -> int:
        """Return how many times the client was woken for a stream."""
        wire = await self._sent(url, body)
        chunks = 0
        while await wire.next():
            chunks += 1
        self._kept[url.split("/")[2].split(":")[1]].append(wire)
        return chunks

    def close(self) -> None:
        """Close what is kept."""
        for wires in self._kept.values():
            for wire in wires:
                wire.close()


async def per_request(client: Client, url: str, body: Body, requests: int) -> float:
    """Return the CPU time of one request, µs."""

    async def several() -> None:
        for _ in range(requests // CONCURRENCY):
            await client.ask(url, body)

    await client.ask(url, body)
    began = process_time()
    await asyncio.gather(*(several() for _ in range(CONCURRENCY)))
    return (process_time() - began) / (requests // CONCURRENCY * CONCURRENCY) * 1e6


async def per_chunk(client: Client, url: str, body: Body, streams: int) -> float:
    """Return the CPU time of one chunk of slow streams, µs."""

    async def one(number: int) -> int:
        await asyncio.sleep(number * 0.02 / streams)
        return await client.stream(url, body)

    began = process_time()
    chunks = await asyncio.gather(*map(one, range(streams)))
    return (process_time() - began) / sum(chunks) * 1e6


async def measure(plain: str, streaming: str, options: argparse.Namespace) -> None:
    """Measure all clients, round by round, and print their medians."""
    async with AsyncExitStack() as stack:
        pool = Pool()
        await pool.open()
        stack.push_async_callback(pool.close)
        bare = Bare()
        stack.callback(bare.close)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=options.streams))
        )
        clients: Mapping[str, Client] = {
            OURS: Ours(pool), "aiohttp": Session(session), "bare httptools": bare,
        }  # fmt: skip
        slow = question(stream=True, max_tokens=options.chunks, seed=20)
        chat = Body(parts=(question(),), content_type="application/json")
        stream = Body(parts=(slow,), content_type="application/json")
        kinds: Mapping[str, Callable[[Client], Awaitable[float]]] = {
            "chat": lambda one: per_request(one, plain, chat, options.requests),
            "upload": lambda one: per_request(one, plain, UPLOAD, options.requests // 5),
            "chunk": lambda one: per_chunk(one, streaming, stream, options.streams),
        }
        for kind, cost in kinds.items():
            found: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(options.rounds):
                for name, client in clients.items():
                    found[name].append(await cost(client))
            report(kind, found)


def report(kind: str, found: Mapping[str, Sequence[float]]) -> None:
    """Print the medians, and the medians of the ratios within each round."""
    for name, costs in found.items():
        ratio = median(one / ours for one, ours in zip(costs, found[OURS], strict=True))
        print(f"{kind:8}{name:18}{median(costs):8.1f} µs{ratio:7.2f} x ours")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_client")
    parser.add_argument("--requests", type=int, default=8000, help="a round and client")
    parser.add_argument("--streams", type=int, default=100, help="open at once")
    parser.add_argument("--chunks", type=int, default=50, help="of each stream")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {TARGET_CORE})
    with ExitStack() as stack:
        plain, streaming = start_upstream(stack, ANSWER), start_stream_upstream(stack)
        urls = [f"http://127.0.0.1:{one.port}{PATH}" for one in (plain, streaming)]
        uvloop.run(measure(urls[0], urls[1], options))


if __name__ == "__main__":
    main()
