"""A model server that runs already and is somebody else's to keep alive: looked at, and no more."""

import asyncio

import structlog
from attrs import frozen

from junctor.core.engine.server_health import HealthCheck
from junctor.core.engine.server_spec import ServerStatus
from junctor.core.engine.spec import EngineState
from junctor.core.net import Pool

log = structlog.get_logger(__name__)


@frozen(kw_only=True)
class WatchSpec:
    """Which server is watched, and how; times are seconds."""

    name: str
    """Who it is in logs and errors: `vllm:qwen3-4b@1`."""
    url: str
    """`http://host:port`, without a path."""
    model: str
    """A model that `/v1/models` must list for the server to be ready."""
    check: HealthCheck
    interval: float = 5.0
    """Time between two looks."""
    misses: int = 3
    """Looks in a row without a good answer after which it is not ready any more."""


class WatchedServer:
    """One server that is watched; STARTING means that it was never well, BACKOFF that it is no more."""

    def __init__(self, spec: WatchSpec) -> None:
        self.spec = spec
        self._pool = Pool()
        self._state = EngineState.UNLOADED
        self._losses = 0
        self._life: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return self.spec.url

    @property
    def state(self) -> EngineState:
        """What the last looks saw."""
        return self._state

    @property
    def status(self) -> ServerStatus:
        """How it is now."""
        return ServerStatus(
            state=self._state,
            url=self.url,
            pid=None,
            starts=0,
            crashes=self._losses,
            last_error="It does not answer." if self._state is EngineState.BACKOFF else "",
        )

    async def start(self) -> None:
        """Begin to look; does nothing when called again."""
        if self._life is None and self._state is EngineState.UNLOADED:
            self._state = EngineState.STARTING
            self._life = asyncio.create_task(self._look(), name=f"{self.spec.name} watch")

    async def close(self) -> None:
        """Look no more; may be called more than once, and without `start`."""
        self._state = EngineState.CLOSED
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])

    async def _look(self) -> None:
        await self._pool.open()
        misses = 0
        try:
            while True:
                misses = 0 if await self._is_ready() else misses + 1
                self._judge(misses)
                await asyncio.sleep(self.spec.interval)
        finally:
            await self._pool.close()

    async def _is_ready(self) -> bool:
        check, url = self.spec.check, self.spec.url
        return await check.is_well(self._pool, url) and (
            self._state is EngineState.READY or await check.lists(self._pool, url, self.spec.model)
        )

    def _judge(self, misses: int) -> None:
        if not misses and self._state is not EngineState.READY:
            self._state = EngineState.READY
            log.info("server.ready", server=self.spec.name)
        elif misses >= self.spec.misses and self._state is EngineState.READY:
            self._state = EngineState.BACKOFF
            self._losses += 1
            log.warning("server.lost", server=self.spec.name)
