"""A child process as the server's loop sees it: frames in, frames out, its output in the log."""

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import structlog
from msgspec import DecodeError, Raw, msgpack

from junctor.core.engine.channel import (
    PREFIX,
    Bytes,
    FromChild,
    Load,
    ToChild,
    check,
    encoder,
    pack,
)
from junctor.core.engine.spec import EngineSpec

log = structlog.get_logger(__name__)

SLICE: Final = 256 * 1024
"""Bytes handed to the socket at once, so that a long recording is not buffered twice."""
LINE: Final = 1000
"""Characters of an output line that are kept."""
TAIL: Final = 40
"""Output lines that are kept for the report of a crash."""
LOGGED_LINES: Final = 1000
"""Output lines of one child that are logged; the rest is only counted."""
INHERITED: Final = frozenset(
    ("HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "TEMP", "TMP", "TMPDIR", "TZ", "USER")
)
"""Environment variables every child gets."""
INHERITED_PREFIXES: Final = (
    "CT2_", "CUDA_", "GOMP_", "HF_HOME", "HF_HUB_CACHE", "KMP_", "LC_", "MKL_", "NVIDIA_", "OMP_",
    "OPENBLAS_", "XDG_CACHE_HOME",
)  # fmt: skip
"""And those that tune native libraries or say where models lie. Keys and tokens are not among them."""


def inherited(names: frozenset[str]) -> dict[str, str]:
    """Return those of our environment variables that a child gets, these names included."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED | names or name.startswith(INHERITED_PREFIXES)
    }


def environment(spec: EngineSpec) -> dict[str, str]:
    """Return a child's environment: what it needs of ours, our import path, and its own."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 - a string is wanted
    python = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return inherited(spec.inherit) | python | dict(spec.environ)


class ChildProcess:
    """One running child; made by `spawn`, ended by `reap`."""

    def __init__(
        self,
        name: str,
        process: asyncio.subprocess.Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        """The last lines it printed."""
        self._name = name
        self._process = process
        self._reader, self._writer = streams
        self._outgoing: asyncio.Queue[tuple[bytes, Bytes]] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send(), name=f"{name} sender")
        self._logger = asyncio.create_task(self._log(), name=f"{name} output")

    @classmethod
    async def spawn(cls, spec: EngineSpec) -> "ChildProcess":
        """
        Start a child and tell it what to load.

        Raises:
            OSError: the system has no process or descriptor left.

        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "junctor.core.engine.child"),
                *(str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment(spec),
                start_new_session=True,
            )
        child = cls(spec.name, process, await asyncio.open_connection(sock=ours))
        options = Raw(encoder.encode(spec.options))
        child.post(Load(worker=spec.worker, options=options, slots=spec.bounds.slots))
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def post(self, message: ToChild, payload: Bytes = b"") -> None:
        """
        Send a frame after those before it; never waits.

        Raises:
            OverflowError: it is over the bounds of the channel.

        """
        self._outgoing.put_nowait((pack(message, payload), payload))

    async def messages(self) -> AsyncIterator[FromChild]:
        """Yield what it says until it ends; whatever it says that makes no sense ends it too."""
        decoder = msgpack.Decoder(FromChild)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                lengths = PREFIX.unpack(await self._reader.readexactly(PREFIX.size))
                try:
                    check(*lengths)
                    frame = await self._reader.readexactly(sum(lengths))
                    message = decoder.decode(frame[: lengths[0]])
                except (OverflowError, DecodeError):
                    log.exception("engine.channel_broken", engine=self._name)
                    return
                yield message

    def kill(self) -> None:
        """
        End it at once.

        Not through asyncio's process: on Python 3.11 its `kill` may reap the child behind the back
        of its own watcher, and the exit status is lost.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def reap(self) -> int:
        """Make sure it has ended, collect its last output, and return its exit status."""
        self.kill()
        self._sender.cancel()
        self._writer.close()
        code = await self._process.wait()
        await asyncio.wait([self._sender, self._logger], timeout=1.0)
        self._logger.cancel()
        with suppress(OSError):
            await self._writer.wait_closed()
        return code

    async def _send(self) -> None:
        with suppress(OSError):  # it is gone: the reader says so
            while True:
                front, payload = await self._outgoing.get()
                self._writer.write(front)
                view = memoryview(payload).cast("B")
                for start in range(0, len(view), SLICE):
                    self._writer.write(view[start : start + SLICE])
                    await self._writer.drain()

    async def _log(self) -> None:
        if (output := self._process.stdout) is None:
            return
        count, rest = 0, b""
        while piece := await output.read(4096):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[:LINE]
            for line in lines:
                count += 1
                self._note(line, is_logged=count <= LOGGED_LINES)
        if rest:
            self._note(rest, is_logged=count < LOGGED_LINES)

    def _note(self, raw: bytes, *, is_logged: bool) -> None:
        line = raw[:LINE].decode("utf-8", "replace").rstrip()
        self.tail.append(line)
        if is_logged and line:
            log.debug("engine.output", engine=self._name, pid=self.pid, line=line)
