"""For operators and probes: `/health` and `/metrics`. Neither asks for a key."""

import asyncio
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.types import ASGIApp
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from junctor.contracts.system import EngineHealth, Health, PluginHealth
from junctor.core.engine.spec import EngineCondition, EngineState
from junctor.core.errors import OverloadedError
from junctor.core.plugin_status import PluginStatus, State
from junctor.core.redaction import publishable
from junctor.core.runtime import Condition, Runtime
from junctor.core.visits import current_visit
from junctor.routers.answers import Answer

BACKEND = "junctor"


def server_version() -> str:
    """Return the installed version; empty in a tree that was never installed."""
    try:
        return version("junctor")
    except PackageNotFoundError:
        return ""


@get("/health")
async def show_health(runtime: NamedDependency[Runtime]) -> ASGIApp:
    """
    Tell whether the server lives, is ready, and what is wrong with it.

    Anybody may ask, and operators need the reasons, so these are told with secrets masked and
    folders cut away.
    """
    current_visit().operation = "health"
    return Answer(body=msgspec.json.encode(health_of(runtime.condition())))


@get("/metrics")
async def show_metrics(runtime: NamedDependency[Runtime]) -> ASGIApp:
    """Show all metrics in Prometheus' text format."""
    current_visit().operation = "metrics"
    with suppress(OverloadedError):  # the numbers of before will do
        await runtime.jobs.count()
    body = await asyncio.to_thread(runtime.telemetry.metrics.render)
    return Answer(body=body, media_type=CONTENT_TYPE_LATEST)


def health_of(condition: Condition) -> Health:
    """Put a server's condition into words that anybody may read."""
    has_failed = any(one.status is State.FAILED for one in condition.plugins)
    has_crashed = any(one.state is EngineState.BACKOFF for one in condition.engines.values())
    is_degraded = has_failed or has_crashed or bool(condition.breakers)
    return Health(
        status=("degraded" if is_degraded else "ok") if condition.is_ready else "unavailable",
        ready=condition.is_ready,
        backend=BACKEND,
        version=server_version(),
        plugins=tuple(map(_plugin, condition.plugins)),
        breakers=condition.breakers,
        engines={name: _engine(one) for name, one in condition.engines.items()},
    )


def _plugin(status: PluginStatus) -> PluginHealth:
    return PluginHealth(
        name=status.name,
        status=str(status.status),
        reason=publishable(status.reason),
        stage=str(status.stage) if status.stage else None,
        models=status.models,
    )


def _engine(condition: EngineCondition) -> EngineHealth:
    return EngineHealth(
        state=str(condition.state),
        crashes=condition.crashes,
        last_error=publishable(condition.last_error),
    )


def router(*, has_metrics: bool) -> Router:
    """Return the paths; `/metrics` only where the settings want it."""
    return Router("/", route_handlers=[show_health, *([show_metrics] if has_metrics else [])])
