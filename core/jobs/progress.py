"""What a job's work does beside working: it reports, and it takes steps that are not repeated."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

import msgspec

from junctor.core.jobs.steps import Steps

INTERVAL = 0.5
"""Seconds between two reports that are written down."""
MAX_DETAIL = 2048
"""Largest detail of a report, bytes of JSON."""
_ID = re.compile(r"[!-~]{0,200}")

Note = Callable[[float, str | None], Awaitable[bool]]
"""Writes the share that is done, and the detail in JSON; None leaves that as it is."""


class Progress:
    """
    Given to the work of one run of a job.

    Args:
        note: writes how far it is; False when the job is not to go on.
        seal: keeps the job from being cancelled; False when it is not to go on.
        steps: remembers what is done.

    """

    def __init__(self, note: Note, *, seal: Callable[[], Awaitable[bool]], steps: Steps) -> None:
        self._note = note
        self._seal = seal
        self._steps = steps
        self._noted = -INTERVAL
        self._stage: object = None

    async def report(self, share: float, detail: Mapping[str, object] | None = None) -> None:
        """
        Tell how much is done, 0 to 1; as often as one likes, few reports are written.

        Args:
            share: of the whole.
            detail: more about it, as a small JSON object; None leaves what was told before. When
                its `stage` is another one than before, the report is written in any case.

        Raises:
            CancelledError: the job was cancelled meanwhile, by whatever process.
            ValueError: the detail is larger than 2 KB.

        """
        document = None if detail is None else _small(detail)
        stage = self._stage if detail is None else detail.get("stage")
        now = monotonic()
        if now - self._noted < INTERVAL and share < 1 and stage == self._stage:
            return
        self._noted, self._stage = now, stage
        if not await self._note(min(1.0, max(0.0, share)), document):
            raise asyncio.CancelledError

    async def seal(self) -> None:
        """
        Let the job be cancelled no more, because now its work is paid for; a kill undoes nothing.

        Raises:
            CancelledError: the job was cancelled meanwhile, by whatever process.

        """
        if not await self._seal():
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


def _small(detail: Mapping[str, object]) -> str:
    document = msgspec.json.encode(detail)
    if len(document) > MAX_DETAIL:
        raise ValueError(f"The detail of a report has {MAX_DETAIL} bytes at most.")
    return document.decode()
