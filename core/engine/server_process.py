"""
A child process that is an HTTP server itself (vLLM, SGLang, llama-server), kept alive.

::

    UNLOADED ──start()──▶ STARTING ──well, and its model listed──▶ READY ──close()──▶ STOPPING ──▶ CLOSED
                            ▲   │                                    │
                            │   └── crash, or late ──▶ BACKOFF ◀── crash, or hang
                            └────────────────────────────┘

What a broken one leaves behind is cleared away in STOPPING, before BACKOFF.

In contrast to `core.engine.supervisor`, whose children speak our channel and start when they are
needed, this one is started at once, is asked over HTTP how it is, and is used by whoever has its URL.
"""

import asyncio
import random
import socket
from typing import Final

import structlog

from junctor.core.engine.server_child import ServerChild, last_line, trim
from junctor.core.engine.server_health import HealthCheck
from junctor.core.engine.server_spec import ServerSpec, ServerStatus
from junctor.core.engine.spec import EngineState
from junctor.core.engine.supervisor import named
from junctor.core.errors import ProviderTimeoutError
from junctor.core.net import Pool
from junctor.core.redaction import publishable

log = structlog.get_logger(__name__)

_START_INTERVAL: Final = 0.5
"""Longest pause between two looks at a server that starts, seconds."""
_MAX_DOUBLINGS: Final = 30


class ServerProcess:
    """One supervised server; belongs to the event loop on which it is started."""

    def __init__(self, spec: ServerSpec) -> None:
        self.spec = spec
        self._check = HealthCheck(
            name=spec.name,
            path=spec.health_path,
            headers=spec.headers,
            timeout=spec.health_timeout,
        )
        self._pool = Pool()
        self._state = EngineState.UNLOADED
        self._ready = asyncio.Event()
        self._child: ServerChild | None = None
        self._life: asyncio.Task[None] | None = None
        self._is_closing = False
        self._starts = self._crashes = self._crashes_in_a_row = 0
        self._last_error = ""

    @property
    def url(self) -> str:
        """`http://host:port` of this start; empty when there is none."""
        return self._child.url if self._child else ""

    @property
    def state(self) -> EngineState:
        """Where it is in its life."""
        return self._state

    @property
    def status(self) -> ServerStatus:
        """How it is now."""
        return ServerStatus(
            state=self._state,
            url=self.url,
            pid=self._child.pid if self._child else None,
            starts=self._starts,
            crashes=self._crashes,
            last_error=self._last_error,
        )

    async def start(self) -> None:
        """Begin to keep it alive; returns long before it is ready. Does nothing when called again."""
        if self._life is None and self._state is EngineState.UNLOADED:
            self._state = EngineState.STARTING
            self._life = asyncio.create_task(self._live(), name=f"{self.spec.name} server")

    async def wait_ready(self, within: float) -> None:
        """
        Return when it is ready.

        Args:
            within: seconds to wait at most; crashes and restarts go by in them.

        Raises:
            ProviderTimeoutError: it is not ready in time.

        """
        try:
            async with asyncio.timeout(within):
                await self._ready.wait()
        except TimeoutError as error:
            text = f"{self.spec.name} is not ready after {within:g} seconds. {self._last_error}"
            raise ProviderTimeoutError(text.strip(), provider=self.spec.name) from error

    async def close(self) -> None:
        """End it, and all that descends from it; may be called more than once, and without `start`."""
        if self._life is None:
            self._state = EngineState.CLOSED
        elif not self._is_closing:
            self._is_closing = True
            self._enter(EngineState.STOPPING)
            self._life.cancel()
        if self._life is not None:
            await asyncio.wait([self._life])
            self._state = EngineState.CLOSED  # also where it had not had its first turn

    async def _live(self) -> None:
        await self._pool.open()
        try:
            while True:
                await self._once()
                await asyncio.sleep(self._pause())
        finally:
            self._enter(EngineState.CLOSED)
            await self._pool.close()

    async def _once(self) -> None:
        """Run one process from its start to its end, and note why it ended."""
        self._enter(EngineState.STARTING)
        self._starts += 1
        try:
            self._child = child = await ServerChild.spawn(self.spec, free_port(self.spec.host))
        except OSError as error:
            self._note_crash(f"It cannot be started: {error}.")
            return
        log.info("server.started", server=self.spec.name, pid=child.pid, url=child.url)
        try:
            why = await self._watch(child)
        finally:
            await child.stop()
            self._child = None
        said = await asyncio.to_thread(last_line, self.spec.log_file)
        self._note_crash(f"{why} Its last words: {said}" if said else why)

    async def _watch(self, child: ServerChild) -> str:
        """Look after a running process until it ends or has to; return why, as a sentence."""
        ended = asyncio.create_task(child.ended())
        try:
            why = await self._until_ready(child, ended) or await self._while_well(child, ended)
        finally:
            ended.cancel()
        self._enter(EngineState.STOPPING)  # at once: what is left of it may take seconds to end
        child.kill()
        return why

    async def _until_ready(self, child: ServerChild, ended: asyncio.Task[int]) -> str:
        deadline = asyncio.get_running_loop().time() + self.spec.start_timeout
        pause = min(_START_INTERVAL, self.spec.health_interval)
        while not await self._is_ready(child):
            if await self._has_ended(ended, pause):
                return f"It ended while starting ({named(ended.result())})."
            if asyncio.get_running_loop().time() >= deadline:
                return f"It was not ready within {self.spec.start_timeout:g} seconds."
        self._enter(EngineState.READY)
        return ""

    async def _is_ready(self, child: ServerChild) -> bool:
        model = self.spec.ready_model
        is_well = await self._check.is_well(self._pool, child.url)
        return is_well and (model is None or await self._check.lists(self._pool, child.url, model))

    async def _while_well(self, child: ServerChild, ended: asyncio.Task[int]) -> str:
        loop = asyncio.get_running_loop()
        settled, misses = loop.time() + self.spec.settled_after, 0
        has_ended = False
        while not has_ended:
            has_ended = await self._has_ended(ended, self.spec.health_interval)
            if loop.time() >= settled:
                self._crashes_in_a_row = 0
            is_well = has_ended or await self._check.is_well(self._pool, child.url)
            misses = 0 if is_well else misses + 1
            if misses >= self.spec.health_misses and not ended.done():
                return f"It hangs: {misses} looks at its health in a row had no good answer."
        return f"It crashed ({named(ended.result())})."

    async def _has_ended(self, ended: asyncio.Task[int], pause: float) -> bool:
        """Wait for the process to end, not longer than the pause; keep the log in its bounds."""
        await asyncio.wait([ended], timeout=pause)
        await asyncio.to_thread(trim, self.spec.log_file, self.spec.max_log_bytes)
        return ended.done()

    def _note_crash(self, why: str) -> None:
        self._enter(EngineState.BACKOFF)
        self._crashes += 1
        self._crashes_in_a_row += 1
        self._last_error = publishable(why)
        log.warning(
            "server.crashed",
            server=self.spec.name,
            error=self._last_error,
            in_a_row=self._crashes_in_a_row,
        )

    def _pause(self) -> float:
        """Return how long to wait before the next start, seconds; by chance, so that replicas part."""
        doublings = min(self._crashes_in_a_row - 1, _MAX_DOUBLINGS)
        longest = min(self.spec.backoff * float(2**doublings), self.spec.backoff_max)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _enter(self, state: EngineState) -> None:
        self._state = state
        if state is EngineState.READY:
            self._ready.set()
            log.info("server.ready", server=self.spec.name, url=self.url)
        else:
            self._ready.clear()


def free_port(host: str) -> int:
    """Return a port at which nobody listens on this host; somebody may a moment later."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        port: int = listener.getsockname()[1]
        return port
