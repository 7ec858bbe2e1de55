"""Names to addresses, on threads of our own: a name server that hangs holds up nobody else."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

THREADS = 4


class Resolver(Protocol):
    """Resolves the names of hosts."""

    async def resolve(self, host: str, port: int, /) -> list[str]:
        """Return the addresses of a host, at least one; `OSError` where there is none."""
        ...

    async def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


class SystemResolver:
    """The system's resolver; it also reads addresses in decimal, octal and hexadecimal."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, at least one; `OSError` where there is none."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="junctor-resolver")
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        except UnicodeError as exc:
            raise OSError(str(exc)) from exc
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def close(self) -> None:
        """Let the threads go; a later call starts them again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
