"""One process of a supervised server, held through its warden."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from junctor.core.engine import warden
from junctor.core.engine.process import inherited
from junctor.core.engine.server_spec import ServerSpec

_MARGIN: Final = 5.0
"""Seconds the warden gets beyond the server's grace."""
_TAIL: Final = 4096
"""Bytes at the end of the log in which its last line is looked for."""


class ServerChild:
    """A server's process; made by `spawn`, ended by `stop`."""

    def __init__(self, spec: ServerSpec, port: int, process: asyncio.subprocess.Process) -> None:
        self.url = f"http://{spec.host}:{port}"
        self.pid = 0
        """The server's process id, which is its process group's too."""
        self._grace = spec.stop_grace
        self._process = process

    @classmethod
    async def spawn(cls, spec: ServerSpec, port: int) -> "ServerChild":
        """
        Start the server, to listen at this port.

        Raises:
            OSError: there is no such program, or the system has no process or descriptor left.

        """
        command = [part.replace("{port}", str(port)) for part in spec.command]
        log = await asyncio.to_thread(_opened, spec.log_file)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", warden.__file__, str(spec.stop_grace)),
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=inherited(spec.inherit) | dict(spec.environ),
                start_new_session=True,
            )
        finally:
            os.close(log)
        child = cls(spec, port, process)
        try:
            await child._introduce()
        except BaseException:
            await child.stop()
            raise
        return child

    async def ended(self) -> int:
        """Return its exit status, below zero for a signal; what it started may end a little later."""
        word, _, rest = (await self._hear()).partition(" ")
        return int(rest) if word == "ended" else -signal.SIGKILL  # the warden was killed, so it was

    def kill(self) -> None:
        """End it at once, and all that descends from it."""
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.write(warden.KILL)

    async def stop(self) -> None:
        """Ask it to end, make it end after its grace, and return when nothing of it is left."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(self._grace + _MARGIN):
                await self._process.wait()
        except TimeoutError:  # a warden that was stopped, say
            warden.kill_group(self._process.pid)
        if await self._process.wait() != 0 and self.pid:  # it was killed, and could kill nobody
            warden.kill_group(self.pid)

    async def _introduce(self) -> None:
        word, _, rest = (await self._hear()).partition(" ")
        if word != "started":
            raise OSError(rest or "its warden ended")
        self.pid = int(rest)

    async def _hear(self) -> str:
        if self._process.stdout is None:
            return ""
        with suppress(ValueError):  # a line beyond all bounds: not from our warden
            return (await self._process.stdout.readline()).decode("utf-8", "replace").strip()
        return ""


def trim(log: Path, most: int) -> None:
    """
    Begin a log file anew when it is larger than this many bytes; blocks.

    The server holds it open for appending, so it is emptied in place; the last half of what is
    allowed is kept beside it as `<name>.1`, where the disk has room for that.
    """
    with suppress(OSError):
        if log.stat().st_size <= most:
            return
        with log.open("rb+") as file:
            file.seek(-(most // 2), os.SEEK_END)
            with suppress(OSError):
                log.with_name(f"{log.name}.1").write_bytes(file.read(most))
            file.truncate(0)


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything; empty when there is none; blocks."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read(_TAIL).decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _opened(log: Path) -> int:
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
