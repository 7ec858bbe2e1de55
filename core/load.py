"""What the whole process has under way, and its bounds."""

from attrs import define

from junctor.conf.settings import Limits as Bounds
from junctor.core.errors import OverloadedError


@define(kw_only=True)
class Load:
    """What the whole process has under way; its bounds come from the snapshot of the request."""

    requests: int = 0
    buffered: int = 0
    """Bytes of uploads in memory."""

    def admit(self, bounds: Bounds) -> None:
        """Count a request in, or raise OverloadedError."""
        if self.requests >= bounds.max_concurrent_requests:
            raise OverloadedError("The server has as many requests under way as it may.")
        self.requests += 1

    def buffer(self, size: int, bounds: Bounds) -> None:
        """Count bytes of upload in, or raise OverloadedError."""
        if self.buffered + size > bounds.max_buffered_bytes:
            raise OverloadedError("The server holds as many uploads in memory as it may.")
        self.buffered += size

    def release(self, *, requests: int = 0, buffered: int = 0) -> None:
        """Count out what is over."""
        self.requests -= requests
        self.buffered -= buffered
