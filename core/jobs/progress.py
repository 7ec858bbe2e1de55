"""What a job's work does beside working: it reports, and it takes steps that are not repeated."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from time import monotonic

from junctor.core.jobs.steps import Steps

INTERVAL = 0.5
"""Seconds between two reports that are written down."""
_ID = re.compile(r"[!-~]{0,200}")


class Progress:
    """
    Given to the work of one run of a job.

    Args:
        note: writes the share that is done; False when the job is not to go on.
        steps: remembers what is done.

    """

    def __init__(self, note: Callable[[float], Awaitable[bool]], steps: Steps) -> None:
        self._note = note
        self._steps = steps
        self._noted = -INTERVAL

    async def report(self, share: float) -> None:
        """
        Tell how much is done, 0 to 1; as often as one likes, few reports are written.

        Raises:
            CancelledError: the job was cancelled meanwhile, by whatever process.

        """
        now = monotonic()
        if now - self._noted < INTERVAL and share < 1:
            return
        self._noted = now
        if not await self._note(min(1.0, max(0.0, share))):
            raise asyncio.CancelledError

    async def step(self, name: str, call: Callable[[], Awaitable[str]]) -> str:
        """
        Do something once, whatever becomes of the process: its id is remembered, not its content.

        After a kill the work starts from its beginning; a step that had finished returns what it
        returned then, and one that was interrupted, or raised, is done again. Steps follow one
        another, in the same order in every run.

        Args:
            name: the same in every run.
            call: does it, and returns the id of what it made: an artefact, an upstream's job.

        Raises:
            ValueError: what `call` returned is no id (200 printable ASCII characters, no space).

        """

        async def checked() -> str:
            made = await call()
            if not _ID.fullmatch(made):
                raise ValueError(f"Step {name!r} has to return an id; keep content in artefacts.")
            return made

        return await self._steps.take(name, checked)
