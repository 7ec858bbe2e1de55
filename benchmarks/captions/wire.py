"""WebSocket clients in real time, cheap enough to stand beside their target: hundreds in one loop."""

import base64
import heapq
import os
import select
import socket
import statistics
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Protocol

from attrs import define, field

TEXT, BINARY, PING, CLOSE = 1, 2, 9, 8
_PONG = 10
_BURST = 16  # sends in a row before it looks whether something has come
_LONGEST_WAIT = 0.05


def frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """Return a message of a client, masked as it must be: with zeros, which changes nothing."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004
        head = bytes([0x80 | opcode, 0x80 | size])
    else:
        head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2)
    return head + bytes(4) + payload


def text(message: str) -> bytes:
    """Return a text message of a client."""
    return frame(message.encode(), TEXT)


class Wire:
    """
    One WebSocket to this machine.

    Args:
        port: where the server listens.
        target: path and query.

    """

    def __init__(self, port: int, target: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._data = bytearray()
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            self._more()
        if not self._data.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(self._data[:end].decode())
        del self._data[: end + 4]
        self._unsent = bytearray()
        self.is_closed = False

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._socket.fileno()

    def stream(self) -> None:
        """Never wait from now on."""
        self._socket.setblocking(False)

    def expect(self) -> bytes:
        """Wait for the next message; only before `stream`."""
        while (found := next(self._messages(), None)) is None:
            self._more()
        return found

    def send(self, data: bytes) -> None:
        """Send frames; what the kernel does not take now goes with the next ones."""
        if self._unsent:
            self._unsent += data
            data = bytes(self._unsent)
            self._unsent.clear()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_closed = True
            return
        if sent < len(data):
            self._unsent += data[sent:]

    def receive(self) -> list[bytes]:
        """Return the messages that have come."""
        try:
            self._more()
        except BlockingIOError:
            return []
        except OSError:
            self.is_closed = True
        return list(self._messages())

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self._data += data

    def _messages(self) -> Iterator[bytes]:
        data = self._data
        while len(data) >= 2:  # noqa: PLR2004
            size, first = data[1], 2
            if size == 126:  # noqa: PLR2004
                size, first = int.from_bytes(data[2:4]), 4
            if size == 127:  # noqa: PLR2004
                size, first = int.from_bytes(data[2:10]), 10
            if len(data) < first + size:
                return
            opcode, payload = data[0] & 15, bytes(data[first : first + size])
            del data[: first + size]
            if opcode in {TEXT, BINARY}:
                yield payload
            elif opcode == PING:
                self.send(frame(payload, _PONG))
            elif opcode == CLOSE:
                self.is_closed = True


class Player(Protocol):
    """One client: says something whenever it is due, and hears what comes."""

    wire: Wire
    due: float

    def act(self) -> None:
        """Say what is due, and set `due` anew."""

    def hear(self, message: bytes, now: float) -> None:
        """Take a message that came at this time."""


@define
class Played:
    """How well the load generator itself kept time."""

    late: list[float] = field(factory=list)
    """By how much a sample of the sends came too late, seconds."""
    closed: int = 0
    """Connections that the server ended."""


def play(
    players: Sequence[Player],
    *,
    until: float,
    is_over: Callable[[], bool] = lambda: False,
) -> Played:
    """Let all play until a time of `perf_counter`; one thread, epoll."""
    played, poll = Played(), select.epoll()
    queue = [(player.due, number, player) for number, player in enumerate(players)]
    heapq.heapify(queue)
    by_number = {player.wire.fileno(): player for player in players}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    while queue and perf_counter() < until and not is_over():
        _act(queue, played)
        wait = queue[0][0] - perf_counter() if queue else 0.0
        for number, _ in poll.poll(min(max(wait, 0.0), _LONGEST_WAIT)):
            if not _hear(by_number[number]):
                poll.unregister(number)
                played.closed += 1
    poll.close()
    return played


def _act(queue: list[tuple[float, int, Player]], played: Played) -> None:
    """Let some of those act who are due."""
    for burst in range(_BURST):
        if not queue or queue[0][0] > (now := perf_counter()):
            return
        due, number, player = queue[0]
        if burst == 0:
            played.late.append(now - due)
        player.act()
        if player.wire.is_closed:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, (player.due, number, player))


def _hear(player: Player) -> bool:
    """Hand on what has come; False when nothing more will come."""
    messages = player.wire.receive()
    now = perf_counter()
    for message in messages:
        player.hear(message, now)
    return not player.wire.is_closed


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lie; NaN for fewer than two."""
    if len(values) < 2:  # noqa: PLR2004
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
