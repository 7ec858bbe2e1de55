"""The signals of a process: two that end it, and SIGHUP, which reads the settings again."""

import asyncio
import signal
from collections.abc import Callable

import structlog

from junctor.conf.reload import Reload
from junctor.conf.settings import Settings
from junctor.core.errors import JunctorError
from junctor.core.logs import configure_logging
from junctor.core.runtime import Runtime

_log = structlog.get_logger()

Prepare = Callable[[Settings], Reload]
"""Reads the settings anew and compares them with the current ones; may raise ConfigError."""


def watch_signals(runtime: Runtime, prepare: Prepare) -> asyncio.Event:
    """Reload at SIGHUP, and set the event that is returned at SIGINT and SIGTERM."""
    stop = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(runtime, prepare))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop


async def _reload(runtime: Runtime, prepare: Prepare) -> None:
    try:
        found = await asyncio.to_thread(prepare, runtime.settings)
        await runtime.reload(found.settings)
    except JunctorError as exc:
        _log.error("reload_refused", reason=str(exc))  # no defect of ours
    except Exception:  # noqa: BLE001  # the boundary of a reload: what is there stays
        _log.exception("reload_failed")
    else:
        configure_logging(found.settings.telemetry)
        runtime.telemetry.adopt_logging()
        _log.info("reloaded", changed=found.changed, needs_restart=found.needs_restart)
