"""A closed-loop HTTP/1.1 load generator over raw sockets, cheap enough to stand beside its target."""

import asyncio
import socket
import statistics
from time import perf_counter
from typing import cast

from attrs import define, field


@define(kw_only=True)
class Load:
    """What one run saw. Latencies in seconds."""

    seconds: float
    latencies: list[float] = field(factory=list, repr=False)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency below which `share` of the answers stayed."""
        if len(self.latencies) < 2:  # noqa: PLR2004
            return float("nan")
        return statistics.quantiles(self.latencies, n=1000)[round(share * 1000) - 1]


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return the bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Client(asyncio.Protocol):
    """Sends the same request again and again on one connection until the time is over."""

    def __init__(self, payload: bytes, until: float, load: Load) -> None:
        self._payload, self._until, self._load = payload, until, load
        self._buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def _send(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        if not self._is_whole(head, end + 4):
            return
        now = perf_counter()
        if head[9:12] == b"200":
            self._load.latencies.append(now - self._sent)
        else:
            self._load.errors += 1
        self._buffer = b""
        if now < self._until and b"connection: close" not in head:
            self._send()
        else:
            self._finish()

    def _is_whole(self, head: bytes, begin: int) -> bool:
        at = head.find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            return len(self._buffer) >= begin + length
        return self._buffer.endswith(b"0\r\n\r\n")

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self._load.errors += 1
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self._transport.close()


async def run(port: int, payload: bytes, *, connections: int, seconds: float) -> Load:
    """Keep `connections` busy for `seconds`; loopback only."""
    load = Load(seconds=seconds)
    loop = asyncio.get_running_loop()
    until = perf_counter() + seconds
    clients = []
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        _, client = await loop.create_connection(lambda: _Client(payload, until, load), sock=sock)
        clients.append(client.done)
    began = perf_counter()
    await asyncio.wait_for(asyncio.gather(*clients), seconds + 30)
    load.seconds = perf_counter() - began
    return load
