"""What can be set for every engine on this machine."""

from junctor.conf.settings import Base, Count, Seconds
from junctor.core.engine.spec import EngineBounds


class EngineSettings(Base, frozen=True, kw_only=True):
    """The process of one engine."""

    preload: bool = False
    """Load at start-up instead of at the first request."""
    idle_unload: Seconds | None = 600.0
    """Time without a request after which the process ends; `keep_loaded` overrides it."""
    keep_loaded: bool = False
    """Never end the process for being idle."""
    max_queue: Count = 16
    """Requests that wait for the engine; one more spills over to the next candidate."""
    start_timeout: Seconds = 120.0
    """Time to load the model."""
    job_timeout: Seconds = 600.0
    """Longest time for one request."""
    cancel_grace: Seconds = 10.0
    """Time a cancelled request gets to stop before the process is killed."""
    max_memory_mb: Count | None = None
    """Resident megabytes over which the process is replaced between two requests."""

    def bounds(self) -> EngineBounds:
        """Return them as the supervisor wants them."""
        return EngineBounds(
            max_queue=self.max_queue,
            idle_unload=None if self.keep_loaded else self.idle_unload,
            start_timeout=self.start_timeout,
            job_timeout=self.job_timeout,
            cancel_grace=self.cancel_grace,
            max_memory=self.max_memory_mb and self.max_memory_mb * 1024 * 1024,
        )
