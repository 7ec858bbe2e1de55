"""What a supervised HTTP server is, how it is bounded, and how it is."""

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from junctor.core.engine.spec import EngineState


@frozen(kw_only=True)
class ServerSpec:
    """A program that is an HTTP server, and how it is started, watched and stopped; times are seconds."""

    name: str
    """Who it is in logs and errors: `vllm:qwen3-4b@1`."""
    command: tuple[str, ...]
    """Program and arguments; `{port}` in any of them becomes the port of this start."""
    log_file: Path
    """Where its output goes; its folder exists."""
    host: str = "127.0.0.1"
    """The address it listens at: a host name or an IPv4 address."""
    environ: Mapping[str, str] = field(factory=dict, repr=False)
    """Environment variables set for it; keys may be among them."""
    inherit: frozenset[str] = frozenset()
    """Names of our own variables it gets beside the ordinary ones: a token, say, if it needs one."""
    health_path: str = "/health"
    """Answers 200 when all is well."""
    ready_model: str | None = None
    """A model that `/v1/models` must list before the server is ready; None where it lists none."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """Sent with each look at its health."""
    start_timeout: float = 600.0
    """Time to become ready, after which it is killed; the first start of a large model takes minutes."""
    stop_grace: float = 10.0
    """Time between SIGTERM and SIGKILL."""
    backoff: float = 1.0
    """Pause before the restart after a crash, doubled with each crash in a row, then shortened by up to half."""
    backoff_max: float = 60.0
    """Longest pause before a restart."""
    settled_after: float = 10.0
    """Time it must have been ready for its crash to count as the first of a row."""
    health_interval: float = 5.0
    """Time between two looks at its health once it is ready; before, twice a second at least."""
    health_timeout: float = 10.0
    """Time that one look may take."""
    health_misses: int = 3
    """Looks in a row without a good answer, of a server that was ready, that make a hang."""
    max_log_bytes: int = 8 * 1024 * 1024
    """Size at which the log file begins anew; its last half is kept beside it, as `<log_file>.1`."""


@frozen(kw_only=True)
class ServerStatus:
    """One look at a server, for `/health` and metrics."""

    state: EngineState
    """UNLOADED before `start`; CLOSED after `close`."""
    url: str
    """`http://host:port` of this start; empty when there is none."""
    pid: int | None
    """Its process id; None when it does not run here."""
    starts: int
    """Processes started so far."""
    crashes: int
    """Crashes, hangs and starts that failed so far."""
    last_error: str
    """Why the last process ended when it should not have; without secrets and folders; empty when none did."""
