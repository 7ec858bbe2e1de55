"""
Alarms that hardly ever ring: one timer of the event loop for all of them.

A request sets three, for its body, its answer and its client, and takes them back a moment later. A
timer of the loop for each (5 µs to set and to cancel) was a twentieth of a relayed request.
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import Context

STEP = 0.02
"""An alarm rings at most so late, seconds; never early."""

Ring = Callable[[], object]


class Alarms:
    """The alarms of one event loop, by the moment in which they are due."""

    __slots__ = ("_context", "_due", "_next", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: dict[int, set[Ring]] = {}
        """By the number of the step that ends with their ringing."""
        self._next: float = math.inf
        """The step at the end of which the timer looks for them."""
        self._timer: asyncio.TimerHandle | None = None
        self._context = Context()  # a request's own would keep it in memory until the timer ends

    def set(self, at: float, ring: Ring) -> int:
        """Have `ring` called at the event-loop time `at`; return what takes it back."""
        step = int(at / STEP) + 1
        due = self._due.get(step)
        if due is None:
            self._due[step] = {ring}
            if step < self._next:
                self._look_at(step)
        else:
            due.add(ring)
        return step

    def clear(self, step: int, ring: Ring) -> None:
        """Take an alarm back; nothing happens where it has rung."""
        due = self._due.get(step)
        if due is not None:
            due.discard(ring)
            if not due:
                del self._due[step]

    def _look_at(self, step: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = step
        self._timer = self.loop.call_at(step * STEP, self._look, context=self._context)

    def _look(self) -> None:
        self._timer, self._next = None, math.inf
        now = self.loop.time()
        for step in sorted(step for step in self._due if step * STEP <= now):
            for ring in self._due.pop(step, ()):
                ring()
        first = min(self._due, default=None)
        if first is not None and first < self._next:
            self._look_at(first)


class _Latest:
    """The alarms of the loop that ran last: nearly always there is but one."""

    alarms: Alarms | None = None


def running_alarms() -> Alarms:
    """Return alarms of the running event loop."""
    loop, found = asyncio.get_running_loop(), _Latest.alarms
    if found is None or found.loop is not loop:
        found = _Latest.alarms = Alarms(loop)
    return found
