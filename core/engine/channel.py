"""
The wire between the server and an engine's child process.

A frame is eight bytes (two little-endian uint32: length of the header, length of the payload), the
header (a msgpack message, one of the Structs below) and the payload (raw bytes: samples, as they
lie in memory). Both lengths are bounded, so that a broken peer cannot make the other one allocate
without end. This module is all that both sides share, and imports next to nothing: the child's
start is every local engine's start.
"""

import socket
import struct
import threading
from typing import Final

from msgspec import Raw, Struct, msgpack

MAX_HEADER: Final = 16 * 1024 * 1024
"""Longest message, bytes."""
MAX_PAYLOAD: Final = 2 * 1024 * 1024 * 1024
"""Longest payload, bytes: nine hours of 16 kHz float32 speech."""
PREFIX: Final = struct.Struct("<II")
"""The two lengths in front of every frame."""


class Load(Struct, frozen=True, tag=True):
    """Server to child, first of all: import this worker and build it from these options."""

    worker: str
    """`package.module:Class`."""
    options: Raw
    slots: int = 1
    """Jobs done at the same time, each in a thread of its own."""


class Run(Struct, frozen=True, tag=True):
    """Server to child: do a job; its payload follows the message."""

    job: int
    args: Raw
    is_urgent: bool = False
    """Whether it is done beside the others, in a thread that is kept for such jobs."""


class Cancel(Struct, frozen=True, tag=True):
    """Server to child: stop this job; it is answered by `Ended`, whatever had been reached."""

    job: int


class Ping(Struct, frozen=True, tag=True):
    """Server to child: say that you are there."""


class Stop(Struct, frozen=True, tag=True):
    """Server to child: release everything and exit."""


class Ready(Struct, frozen=True, tag=True):
    """Child to server: the worker is built."""

    memory: int
    """Resident memory of the child, bytes."""


class Refused(Struct, frozen=True, tag=True):
    """Child to server: the worker cannot be built; the child exits."""

    error: str
    """Class name in `junctor.core.errors`."""
    message: str
    trace: str = ""
    """Where it happened, for the log; only of a defect."""


class Started(Struct, frozen=True, tag=True):
    """Child to server: this job is being done now."""

    job: int


class Item(Struct, frozen=True, tag=True):
    """Child to server: one result of a job, of which there may be many."""

    job: int
    body: Raw


class Ended(Struct, frozen=True, tag=True):
    """Child to server: this job is over; nothing more comes of it."""

    job: int
    memory: int
    """Resident memory of the child, bytes."""
    error: str = ""
    """Class name in `junctor.core.errors`; empty when it went well."""
    message: str = ""
    trace: str = ""
    """Where it happened, for the log; only of a defect."""


class Pong(Struct, frozen=True, tag=True):
    """Child to server: I am."""

    memory: int
    """Resident memory of the child, bytes."""


Bytes = bytes | bytearray | memoryview
ToChild = Load | Run | Cancel | Ping | Stop
FromChild = Ready | Refused | Started | Item | Ended | Pong

encoder: Final = msgpack.Encoder()
"""Shared by all messages; it keeps no state."""


def pack(message: ToChild | FromChild, payload: Bytes = b"") -> bytes:
    """
    Return what goes in front of the payload: the two lengths and the message.

    Raises:
        OverflowError: the message or the payload is over its bound.

    """
    header = encoder.encode(message)
    size = memoryview(payload).nbytes
    check(len(header), size)
    return PREFIX.pack(len(header), size) + header


def check(header: int, payload: int) -> None:
    """
    Hold the two lengths (bytes) of a frame to their bounds.

    Raises:
        OverflowError: one of them is over.

    """
    if header > MAX_HEADER or payload > MAX_PAYLOAD:
        raise OverflowError(
            f"A frame of {header} + {payload} bytes is over the bounds "
            f"({MAX_HEADER} + {MAX_PAYLOAD})."
        )


class ChildChannel:
    """The child's end: blocking reads by one thread, whole-frame writes by any."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._decoder = msgpack.Decoder(ToChild)

    def receive(self) -> tuple[ToChild, bytearray]:
        """
        Wait for a frame.

        Raises:
            EOFError: the server is gone.
            OverflowError: the frame is over the bounds.

        """
        lengths = PREFIX.unpack(self._read(PREFIX.size))
        check(*lengths)
        header = self._read(lengths[0])
        return self._decoder.decode(header), self._read(lengths[1])

    def send(self, message: FromChild, payload: Bytes = b"") -> None:
        """Send a frame whole, whichever thread asks."""
        front = pack(message, payload)
        with self._lock:
            self._sock.sendall(front)
            if memoryview(payload).nbytes:
                self._sock.sendall(payload)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._sock.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return data
