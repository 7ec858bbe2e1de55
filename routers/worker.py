"""The process that only works on jobs: a runtime without an HTTP face."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from junctor.conf.settings import Settings
from junctor.core.errors import ConfigError
from junctor.core.logs import configure_logging
from junctor.core.runtime import Runtime
from junctor.core.storage.database import database_url
from junctor.routers.composition import compose
from junctor.routers.signals import Prepare, watch_signals

_log = structlog.get_logger()


def work(
    settings: Settings,
    *,
    queues: Sequence[str],
    prepare: Prepare,
    announce: Callable[[str], object] = print,
) -> None:
    """
    Work on jobs until SIGINT or SIGTERM; SIGHUP reloads.

    Jobs that are running then get `server.shutdown_grace` to end; what is left is queued again.

    Args:
        settings: as loaded.
        queues: those to work on; none given: those of `jobs.work`.
        prepare: called at SIGHUP; what it returns is swapped in, an error leaves all as it is.
        announce: told once that it works.

    Raises:
        ConfigError: it cannot start with these settings.
        PluginError: a plugin failed, and `loader.strict` is set.

    """
    if database_url(settings.storage).startswith("sqlite"):
        raise ConfigError(
            "a worker needs Postgres (postgresql+asyncpg://…): an SQLite file belongs to one "
            "process, the server, which works on its own jobs.",
            key="storage.database_url",
        )
    chosen = tuple(queues) or settings.jobs.work
    if chosen == ():
        raise ConfigError("no queue is left to work on; name one with --queue.", key="jobs.work")
    configure_logging(settings.telemetry)
    runtime = compose(settings, queues=chosen)
    names = ", ".join(settings.jobs.concurrencies() if chosen is None else chosen)
    with asyncio.Runner() as runner:
        runner.run(work_on_jobs(runtime, prepare, lambda: announce(f"junctor works on {names}")))


async def work_on_jobs(runtime: Runtime, prepare: Prepare, announce: Callable[[], object]) -> None:
    """Open a runtime, say so, and work until a signal ends it; see `work`."""
    stop = watch_signals(runtime, prepare)
    async with runtime:
        announce()
        await stop.wait()
        grace = runtime.settings.server.shutdown_grace
        _log.info("stopping", grace_seconds=grace)
        await runtime.jobs.drain(grace)
