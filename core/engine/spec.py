"""What an engine is, how it is bounded, and how it is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable

from attrs import field, frozen
from msgspec import Struct

from junctor.core.errors import ProviderError

ErrorT = TypeVar("ErrorT", bound=ProviderError)


@frozen(kw_only=True)
class EngineBounds:
    """The bounds of one engine; times are seconds."""

    max_queue: int = 16
    """Jobs that wait, beside those being done; one more is refused as busy. Urgent ones count apart."""
    slots: int = 1
    """Jobs done at the same time, and an urgent one; the worker must be fit for so many threads."""
    idle_unload: float | None = 600.0
    """Time without a job after which the child ends; None keeps it."""
    start_timeout: float = 120.0
    """Time to import the worker and load its model."""
    job_timeout: float = 600.0
    """Time for one job, from its start."""
    cancel_grace: float = 5.0
    """Time a cancelled job gets to stop before the child is killed."""
    hang_after: float = 30.0
    """Time without a sign of life, while a job is done, after which the child is killed."""
    backoff: float = 0.5
    """Pause before the restart after a crash, doubled with each crash in a row."""
    backoff_max: float = 60.0
    """Longest pause before a restart."""
    max_memory: int | None = None
    """Resident bytes over which the child is replaced between two jobs; None for no bound."""
    max_items: int = 100_000
    """Results of one job that are kept for a slow reader."""


@frozen(kw_only=True)
class EngineSpec:
    """Which worker runs, for which model, and within which bounds."""

    provider: str
    model: str
    worker: str
    """`package.module:Class`, importable in the child; see `core.engine.worker`."""
    options: Struct
    """What the worker is built from."""
    environ: Mapping[str, str] = field(factory=dict)
    """Environment variables set for the child."""
    inherit: frozenset[str] = frozenset()
    """Names of our own variables it gets beside the ordinary ones: a token, say, if it needs one."""
    bounds: EngineBounds = field(factory=EngineBounds)

    @property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self.provider}:{self.model}"

    def error(
        self, kind: type[ErrorT], message: str, *, retry_after: float | None = None
    ) -> ErrorT:
        """Return an error of that kind that names this provider and model."""
        return kind(message, provider=self.provider, model=self.model, retry_after=retry_after)


class EngineState(StrEnum):
    """Where an engine is in its life."""

    UNLOADED = "unloaded"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    CLOSED = "closed"


@frozen(kw_only=True)
class EngineStatus:
    """One look at an engine, for `/health` and metrics."""

    state: EngineState
    pid: int | None
    """The child's process id."""
    memory: int
    """Resident memory of the child when it last said so, bytes."""
    running: int
    """Jobs with the child, cancelled ones that have not stopped yet included."""
    waiting: int
    """Jobs in the queue."""
    starts: int
    """Children started so far."""
    crashes: int
    """Crashes and hangs so far."""
    last_error: str
    """Why the last child ended when it should not have; empty when none did."""


class EngineCondition(Protocol):
    """What an engine tells of itself, whatever kind it is."""

    @property
    def state(self) -> EngineState:
        """Where it is in its life."""

    @property
    def crashes(self) -> int:
        """Crashes and hangs so far."""

    @property
    def last_error(self) -> str:
        """Why it last ended when it should not have; empty when it never did."""


@runtime_checkable
class HasEngines(Protocol):
    """A provider whose models run in processes or on servers that come and go."""

    def engines(self) -> Mapping[str, EngineCondition]:
        """Return how each engine is, by model id."""
