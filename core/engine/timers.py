"""Named timers of one owner on its event loop: armed, re-armed and forgotten by name."""

import asyncio
from collections.abc import Callable


class Timers:
    """A few timers; each name rings at most once per arming."""

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._handles

    def arm(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` so many seconds from now, instead of when it was armed for before."""
        self.disarm(name)

        def ring() -> None:
            del self._handles[name]
            action()

        self._handles[name] = asyncio.get_running_loop().call_later(seconds, ring)

    def disarm(self, *names: str) -> None:
        """Forget these timers; all of them when none is named."""
        for name in names or tuple(self._handles):
            if handle := self._handles.pop(name, None):
                handle.cancel()
