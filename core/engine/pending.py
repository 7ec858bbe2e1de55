"""One job on the server's side: what is asked, how far it is, and what came of it so far."""

import asyncio
from enum import Enum, auto

from attrs import define, field
from msgspec import Raw

from junctor.core.engine.channel import Bytes
from junctor.core.errors import JunctorError


class Phase(Enum):
    """How far a job is."""

    WAITING = auto()
    """In the queue."""
    SENT = auto()
    """With the child, which has not begun it."""
    STARTED = auto()
    """Being done."""
    OVER = auto()
    """Done, failed, or taken back before the child had it."""


@define(eq=False, kw_only=True)
class PendingJob:
    """A job and its results; `None` among them is the end, an error is how it failed."""

    number: int
    args: Raw
    payload: Bytes
    is_urgent: bool = False
    """Whether it is done beside the others."""
    phase: Phase = Phase.WAITING
    is_abandoned: bool = False
    """Whether nobody waits for it any more."""
    results: "asyncio.Queue[Raw | JunctorError | None]" = field(factory=asyncio.Queue)
    timer: asyncio.TimerHandle | None = None
    """Its deadline; once it is abandoned, the end of its grace."""

    def settle(self, error: JunctorError | None = None) -> None:
        """Say that nothing more comes."""
        self.is_abandoned = True
        self.results.put_nowait(error)

    def disarm(self) -> None:
        """Forget its timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
