"""What a process does of its jobs; the one place where a job that was begun changes its state."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import msgspec

from junctor.conf.settings import Settings
from junctor.core.errors import InternalError, JunctorError, OverloadedError
from junctor.core.jobs.job import ENDED, Job, JobState, job_of
from junctor.core.jobs.progress import Progress
from junctor.core.jobs.steps import Steps
from junctor.core.storage.jobs import JobRow, JobTable

T = TypeVar("T")

Work = Callable[[Job, Progress], Awaitable[Mapping[str, object]]]
"""Does a job and returns its result; `CancelledError` in it means: leave off, and clean up."""

MAX_DOCUMENT = 64 * 1024
"""Largest payload, and largest result, bytes of JSON."""
AGAIN = 1.0
"""Seconds until something that the database refused is tried again."""


class Runs:
    """
    The jobs that this process works on.

    Args:
        table: with the jobs.
        works: the work of each kind.
        settings: returns the settings of the moment.
        ended: called whenever a job has ended here.
        now: microseconds since 1970, UTC.

    """

    def __init__(
        self,
        table: JobTable,
        works: Mapping[str, Work],
        *,
        settings: Callable[[], Settings],
        ended: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self._table = table
        self._works = works
        self._settings = settings
        self._ended = ended
        self._now = now
        self._running: dict[str, asyncio.Task[None]] = {}
        self._takes = True
        self._is_closing = False

    async def drain(self, within: float) -> None:
        """Begin nothing more, and wait for what is running; `within` so many seconds."""
        self._takes = False
        if self._running:
            await asyncio.wait(self._running.values(), timeout=within)

    async def close(self) -> None:
        """Interrupt what is running, and put it back."""
        self._takes, self._is_closing = False, True
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def stop(self, id_: str) -> None:
        """Interrupt a job that was cancelled, if it is running here; once, so that it can clean up."""
        task = self._running.get(id_)
        if task is not None and not task.cancelling():
            task.cancel()

    async def stop_canceled(self) -> None:
        """Interrupt what another process was asked to cancel."""
        if ids := tuple(self._running):  # others may begin while the database is asked
            states = await self._table.states(ids)
            for id_ in ids:
                if states.get(id_, JobState.CANCELED) == JobState.CANCELED:
                    self.stop(id_)

    async def run(self, id_: str, steps: Steps) -> bool:
        """
        Do a job from its beginning; False when it cannot be done here now.

        Its kind is unknown here, or another run of it has not ended here: another process took this
        one for dead, and queued it again.

        Raises:
            CancelledError: this process stops.

        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        if not self._takes:
            raise asyncio.CancelledError
        if id_ in self._running:
            return False
        self._running[id_] = task
        attempt = 0
        try:
            row = await _patiently(lambda: self._table.find(id_))
            if row is None or row.state in ENDED:
                return True
            if row.kind not in self._works:
                return False
            attempt = row.attempts + 1
            begun = await _patiently(lambda: self._table.begin(id_, at=self._now()))
            if begun is not None:
                attempt = begun.attempts
                await self._outcome(begun, steps)
        except asyncio.CancelledError:
            if not self._is_closing:
                await self._failed(id_, attempt, str(InternalError()))  # unless that was asked for
                return True
            with suppress(JunctorError):
                await self._table.put_back(id_, attempt=attempt)
            raise
        finally:
            del self._running[id_]
        return True

    async def _failed(self, id_: str, attempt: int, error: str) -> None:
        """End a job, unless it is over, or another process took us for dead and has begun it."""
        at = self._now()
        if await _patiently(lambda: self._table.fail(id_, attempt=attempt, at=at, error=error)):
            self._ended()

    async def _outcome(self, row: JobRow, steps: Steps) -> None:
        try:
            result = document_of(await self._worked(row, steps), "result")
        except JunctorError as exc:
            _log("job_failed", exc, job=row.id, kind=row.kind)
            # Postgres refuses a NUL for ever.
            await self._failed(row.id, row.attempts, str(exc).replace("\0", ""))
        except Exception as exc:  # noqa: BLE001 - the boundary of a job
            _log("job_failed", exc, job=row.id, kind=row.kind)
            await self._failed(row.id, row.attempts, str(InternalError()))
        else:
            at = self._now()
            await _patiently(
                lambda: self._table.finish(row.id, state=JobState.DONE, at=at, result=result)
            )
            self._ended()

    async def _worked(self, row: JobRow, steps: Steps) -> Mapping[str, object]:
        bound = self._settings().jobs.max_attempts
        if row.attempts > bound:
            raise OverloadedError(
                f"The job was begun {bound} times, and its server died each time."
            )

        async def note(share: float, detail: str | None) -> bool:
            try:
                return await self._table.progress(row.id, share, detail)
            except OverloadedError:  # the next report tells it
                return True

        async def seal() -> bool:
            return await _patiently(lambda: self._table.seal(row.id))

        return await self._works[row.kind](job_of(row), Progress(note, seal=seal, steps=steps))


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Wait for the database: what a job has come to must not be lost."""
    while True:
        try:
            return await call()
        except OverloadedError:
            await asyncio.sleep(AGAIN)


def document_of(value: Mapping[str, object], what: str) -> str:
    """
    Return a payload or a result as JSON.

    Raises:
        ValueError: it is too large.

    """
    document = msgspec.json.encode(value, order="deterministic")
    if len(document) > MAX_DOCUMENT:
        raise ValueError(f"The {what} of a job is small; keep content in artefacts.")
    return document.decode()


def _log(event: str, error: Exception, **values: object) -> None:
    import structlog

    structlog.get_logger().error(event, exc_info=error, **values)
