"""Steps: asked for on the application's loop, remembered on another one."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from attrs import field, frozen


@frozen(kw_only=True, eq=False)
class Asked:
    """One step, between the two loops."""

    name: str
    known: "Future[str | None]" = field(factory=Future)
    """What the step returned in a run before; None: it has to be done."""
    made: "Future[str]" = field(factory=Future)
    """What it returned now; cancelled where it did not."""
    kept: "Future[None]" = field(factory=Future)
    """Done when it is remembered."""

    def recall(self, value: str | None) -> None:
        """Say what is known, unless that was said before."""
        with suppress(InvalidStateError):
            self.known.set_result(value)

    def keep(self) -> None:
        """Say that it is remembered."""
        with suppress(InvalidStateError):
            self.kept.set_result(None)

    def fail(self, error: Exception) -> None:
        """Say that nothing can be remembered."""
        for future in (self.known, self.kept):
            with suppress(InvalidStateError):
                future.set_exception(error)


class Steps:
    """
    The steps of one run, taken one after another on the application's loop.

    Args:
        ask: hands a step to whoever remembers; from any thread.

    """

    def __init__(self, ask: Callable[[Asked], None]) -> None:
        self._ask = ask
        self._one = asyncio.Lock()

    async def take(self, name: str, call: Callable[[], Awaitable[str]]) -> str:
        """
        Return what the step returned before, or do it now and have it remembered.

        What cannot be remembered is done again after a kill, and is no failure.
        """
        async with self._one:
            asked = Asked(name=name)
            self._ask(asked)
            try:
                known = await asyncio.wrap_future(asked.known)
                if known is not None:
                    return known
                made = await call()
            except BaseException:
                asked.made.cancel()
                raise
            asked.made.set_result(made)
            try:
                await asyncio.wrap_future(asked.kept)
            except Exception as exc:  # noqa: BLE001 - the boundary to what remembers; it is done
                _log(name, exc)
            return made


def _log(name: str, error: Exception) -> None:
    import structlog

    structlog.get_logger().error("step_not_remembered", step=name, exc_info=error)
