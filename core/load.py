"""What the whole process has under way, its bounds, and what one request holds of it."""

from collections.abc import Callable

from attrs import define
from msgspec import Struct

from junctor.conf.settings import Limits as Bounds
from junctor.core.errors import OverloadedError
from junctor.core.limits import Slot


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


class Held(Struct, eq=False):
    """What admission took for one request, given back once."""

    load: Load
    leave: Callable[[], None]
    """Gives the snapshot back."""
    slot: Slot | None = None
    """The team's concurrency."""
    buffered: int = 0
    """Bytes of its upload in memory."""
    _is_held: bool = True

    async def release(self) -> None:
        """Give everything back; a second call does nothing."""
        if not self._is_held:
            return
        self._is_held = False
        self.load.release(requests=1, buffered=self.buffered)
        self.leave()
        if self.slot is not None:
            await self.slot.release()
