"""What operators and probes ask: `GET /health`, shared with the speech contract (seed 001)."""

from typing import Literal

from msgspec import Struct


class PluginHealth(Struct, frozen=True, kw_only=True):
    """One plugin; `reason` says why it does not serve, without folders and secrets."""

    name: str
    status: str
    reason: str = ""
    stage: str | None = None
    """Where it failed: `import`, `registration`, `start` …"""
    models: tuple[str, ...] = ()
    """`provider:model` names that it serves."""


class EngineHealth(Struct, frozen=True, kw_only=True):
    """One engine on this machine, or server that is watched; reasons are without folders and secrets."""

    state: str
    """`unloaded`, `starting`, `ready`, `stopping`, `backoff`, `closed`."""
    crashes: int = 0
    """How often it crashed or hung."""
    last_error: str = ""
    """Why, the last time."""


class Health(Struct, frozen=True, kw_only=True):
    """Answer of `GET /health`: always 200 while the process lives; read `ready`."""

    status: Literal["ok", "degraded", "unavailable"]
    """`degraded`: a plugin failed or a breaker is not closed; `unavailable`: no model at all."""
    ready: bool
    """Whether there is a model to serve."""
    backend: str
    """Name of the server's software."""
    version: str
    plugins: tuple[PluginHealth, ...]
    breakers: dict[str, str]
    """State of each breaker that is not closed, by `provider:model capability`."""
    engines: dict[str, EngineHealth] = {}
    """How each engine is, by `provider:model`; one that crashed and waits for its restart degrades."""
