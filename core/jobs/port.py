"""The port: submit, look, list, cancel; and the one place where a job's state changes."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from junctor.conf.settings import Settings
from junctor.core.errors import (
    ConcurrencyLimitedError,
    ConfigError,
    InternalError,
    InvalidRequestError,
    JunctorError,
    NotFoundError,
    OverloadedError,
)
from junctor.core.jobs.durable import Durable
from junctor.core.jobs.job import Job, JobState, idempotency_id, job_of
from junctor.core.jobs.progress import Progress
from junctor.core.jobs.steps import Steps
from junctor.core.storage.database import Database, data_folder, database_url
from junctor.core.storage.jobs import JobRow, JobTable

T = TypeVar("T")

Work = Callable[[Job, Progress], Awaitable[Mapping[str, object]]]
"""Does a job and returns its result; `CancelledError` in it means: leave off, and clean up."""

DEFAULT_QUEUE = "default"
MAX_DOCUMENT = 64 * 1024
"""Largest payload, and largest result, bytes of JSON."""
MAX_PAGE = 1000
AGAIN = 1.0
"""Seconds until something that the database refused is tried again."""
TEND_POLLS = 10
"""Looks for queued jobs between two looks for processes that are gone."""
HOUR = 3600.0
_MICROS = 1_000_000


def _micros() -> int:
    return time.time_ns() // 1000


class Jobs:
    """
    Durable jobs of this process.

    A job is durable when `submit` returns. DBOS is imported with the first one, or at start when
    jobs were left unfinished or others may leave some (Postgres), never on the application's thread.

    Args:
        settings: returns the settings of the moment; queues are read when DBOS is started.
        ended: called on the loop whenever a job has ended here.
        now: microseconds since 1970, UTC.

    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        ended: Callable[[], None] = lambda: None,
        now: Callable[[], int] = _micros,
    ) -> None:
        self._settings = settings
        self._ended = ended
        self._now = now
        self._works: dict[str, Work] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._fresh: list[tuple[str, str, int]] = []
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._durable: Durable | None = None
        self._table_or_none: JobTable | None = None

    @property
    def _table(self) -> JobTable:
        if self._table_or_none is None:
            raise OverloadedError("The server is starting or shutting down.")
        return self._table_or_none

    def register(self, kind: str, work: Work) -> None:
        """
        Name the work of a kind of job; before `open`, since unfinished jobs go on then.

        A job's event is `<kind>.completed`, `<kind>.failed` or `<kind>.canceled`.

        Raises:
            ValueError: the kind has its work already.

        """
        if kind in self._works:
            raise ValueError(f"Jobs of kind {kind!r} have their work already.")
        self._works[kind] = work

    async def open(self, database: Database) -> None:
        """
        Begin; jobs that were left unfinished go on.

        Raises:
            OverloadedError: the database cannot be reached.

        """
        self._table_or_none = JobTable(database)
        self._closing.clear()
        self._tasks.append(asyncio.create_task(self._purge()))
        is_shared = not database_url(self._settings().storage).startswith("sqlite")
        if is_shared or await self._table.unfinished():
            self._start()

    async def close(self) -> None:
        """Stop; running jobs are interrupted, and go on at the next start. Idempotent."""
        self._closing.set()
        for task in (*self._tasks, *self._running.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._running.values(), return_exceptions=True)
        self._tasks.clear()
        if self._durable is not None:
            await self._blocking(self._durable.close)
            self._durable = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        self._table_or_none = None

    async def submit(
        self,
        kind: str,
        *,
        team: str,
        payload: Mapping[str, object],
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Accept a job; it will be done, whatever becomes of the process.

        Args:
            kind: one that is registered.
            team: whose it is.
            payload: small, JSON; big things are artefacts and named by id. `callback_url`, where it
                is given, is told the end; check it with the guard first.
            queue: `default`, or one of the settings.
            priority: from -1000 to 1000, larger goes first.
            idempotency_key: the same key of the same team is the same job.

        Raises:
            InvalidRequestError: the key came with another payload before.
            ConcurrencyLimitedError: the team has too many unfinished jobs.
            ConfigError: there is no such queue.
            OverloadedError: the database cannot be used.

        """
        row = self._row(kind, team, payload, queue, priority)
        if idempotency_key is not None:
            row = msgspec.structs.replace(row, idempotency_id=idempotency_id(team, idempotency_key))
            if known := await self._known(row):
                return known
        bound = self._settings().jobs.max_unfinished
        if await self._table.count_unfinished(team) >= bound:
            raise ConcurrencyLimitedError(limit=bound)
        if not await self._table.add(row) and (known := await self._known(row)):
            return known
        self._fresh.append((row.id, queue, priority))
        self._start()
        return job_of(row)

    async def get(self, id_: str, *, team: str) -> Job:
        """
        Return a job of a team.

        Raises:
            NotFoundError: the team has no such job, or it ended long ago.
            OverloadedError: the database cannot be used.

        """
        row = await self._table.find(id_)
        if row is None or row.team != team:
            raise NotFoundError("There is no job of this id. It may have been deleted with time.")
        return job_of(row)

    async def list(self, team: str, *, limit: int = 100, before: str | None = None) -> list[Job]:
        """Return a team's jobs, newest first; `before` is the last id of the page before."""
        bounded = max(1, min(MAX_PAGE, limit))
        rows = await self._table.page(team, limit=bounded, before=before)
        return [job_of(row) for row in rows]

    async def cancel(self, id_: str, *, team: str) -> Job:
        """
        Cancel a job, queued or running; one that is over stays as it is.

        Raises:
            NotFoundError: the team has no such job.

        """
        await self.get(id_, team=team)
        if await self._table.finish(id_, state=JobState.CANCELED, at=self._now()):
            self._stop(id_)
            self._ended()
        return await self.get(id_, team=team)

    def _row(
        self, kind: str, team: str, payload: Mapping[str, object], queue: str, priority: int
    ) -> JobRow:
        if kind not in self._works:
            raise ValueError(f"There are no jobs of kind {kind!r}; register it first.")
        if queue not in self._queues():
            raise ConfigError("there is no such queue of jobs.", key=f"jobs.queues.{queue}")
        document = _document(payload, "payload")
        url = payload.get("callback_url") or ""
        now = self._now()
        return JobRow(
            id=f"job_{now:014x}{token_hex(9)}",
            team=team,
            kind=kind,
            queue=queue,
            priority=priority,
            payload=document,
            digest=hashlib.sha256(f"{kind} {document}".encode()).hexdigest(),
            created_at=now,
            callback_url=str(url),
            callback_host=(urlsplit(str(url)).hostname or "") if url else "",
            callback_state="waiting" if url else "",
        )

    async def _known(self, row: JobRow) -> Job | None:
        known = await self._table.find_idempotent(row.idempotency_id or "")
        if known is not None and known.digest != row.digest:
            raise InvalidRequestError(
                "The idempotency key was used for another request. Use a fresh key for each.",
                param="idempotency_key",
            )
        return None if known is None else job_of(known)

    def _queues(self) -> dict[str, int]:
        queues = self._settings().jobs.queues
        return {DEFAULT_QUEUE: 4, **{name: queue.concurrency for name, queue in queues.items()}}

    def _start(self) -> None:
        """Have DBOS started and fed, unless it is."""
        self._news.set()
        if self._durable is None and not self._closing.is_set():
            storage = self._settings().storage
            url = _durable_url(database_url(storage), data_folder(storage))
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="junctor-jobs")
            self._durable = Durable(url, run=self._run, loop=asyncio.get_running_loop())
            self._tasks.append(asyncio.create_task(self._feed(self._durable)))

    async def _feed(self, durable: Durable) -> None:
        """Launch DBOS and hand jobs over to it until cancelled, whatever fails in between."""
        is_launched = is_stalled = False
        while True:
            try:
                if not is_launched:
                    await self._blocking(durable.close)  # what a launch that failed left open
                    await self._blocking(
                        partial(
                            durable.launch,
                            self._queues(),
                            poll_interval=self._settings().jobs.poll_interval,
                        )
                    )
                    is_launched = True
                async for _ in self._hand_over(durable):
                    is_stalled = False
            except Exception as exc:  # noqa: BLE001 - the boundary of a background task
                if not is_stalled:
                    _log("jobs_stalled", exc)
                is_stalled = True
                await asyncio.sleep(AGAIN)

    async def _hand_over(self, durable: Durable) -> AsyncGenerator[None, None]:
        """Give DBOS what it lacks, then what is new; yields after each round that went well."""
        unfinished = await self._table.unfinished()
        await self._blocking(lambda: durable.reconcile(unfinished))
        swept = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings().jobs.poll_interval * TEND_POLLS):
                    await self._news.wait()
            self._news.clear()
            batch, self._fresh = self._fresh, []
            await self._blocking(partial(durable.enqueue, batch))
            await self._blocking(durable.reap)
            await self._stop_canceled()
            yield
            if time.monotonic() - swept > HOUR:
                swept = time.monotonic()
                await self._blocking(durable.sweep)

    async def _stop_canceled(self) -> None:
        """Stop what another process was asked to cancel."""
        if ids := tuple(self._running):  # others may begin while the database is asked
            states = await self._table.states(ids)
            for id_ in ids:
                if states.get(id_, JobState.CANCELED) == JobState.CANCELED:
                    self._stop(id_)

    def _stop(self, id_: str) -> None:
        if task := self._running.get(id_):
            task.cancel()

    async def _purge(self) -> None:
        while True:
            try:
                before = self._now() - int(self._settings().jobs.keep * _MICROS)
                while await self._table.purge(before, limit=MAX_PAGE):
                    pass
            except Exception as exc:  # noqa: BLE001 - the boundary of a background task
                _log("jobs_not_purged", exc)
            await asyncio.sleep(HOUR)

    async def _run(self, id_: str, steps: Steps) -> None:
        """One run of a job, from its beginning; cancelled only when the process stops."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        if self._closing.is_set() or id_ in self._running:
            raise asyncio.CancelledError
        self._running[id_] = task
        try:
            row = await _patiently(lambda: self._table.begin(id_, at=self._now()))
            if row is not None:
                await self._outcome(row, steps)
        except asyncio.CancelledError:
            if not self._closing.is_set():
                await self._left_off(id_)
                return
            with suppress(JunctorError):
                await self._table.put_back(id_)
            raise
        finally:
            del self._running[id_]

    async def _left_off(self, id_: str) -> None:
        """End a job whose work was cancelled; unless somebody asked for that, it has failed."""
        error = str(InternalError())
        if await _patiently(
            lambda: self._table.finish(id_, state=JobState.FAILED, at=self._now(), error=error)
        ):
            self._ended()

    async def _outcome(self, row: JobRow, steps: Steps) -> None:
        result: str | None = None
        error: str | None = None
        try:
            result = _document(await self._worked(row, steps), "result")
        except JunctorError as exc:
            _log("job_failed", exc, job=row.id, kind=row.kind)
            error = str(exc).replace("\0", "")  # which Postgres refuses for ever
        except Exception as exc:  # noqa: BLE001 - the boundary of a job
            _log("job_failed", exc, job=row.id, kind=row.kind)
            error = str(InternalError())
        state = JobState.DONE if error is None else JobState.FAILED
        await _patiently(
            lambda: self._table.finish(
                row.id, state=state, at=self._now(), result=result, error=error
            )
        )
        self._ended()

    async def _worked(self, row: JobRow, steps: Steps) -> Mapping[str, object]:
        bound = self._settings().jobs.max_attempts
        if row.attempts > bound:
            raise OverloadedError(
                f"The job was begun {bound} times, and its server died each time."
            )
        if row.kind not in self._works:
            raise NotFoundError(f"This server does no jobs of kind {row.kind!r}.")
        progress = Progress(lambda share: self._table.progress(row.id, share), steps)
        return await self._works[row.kind](job_of(row), progress)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Wait for the database: what a job has come to must not be lost."""
    while True:
        try:
            return await call()
        except OverloadedError:
            await asyncio.sleep(AGAIN)


def _document(value: Mapping[str, object], what: str) -> str:
    document = msgspec.json.encode(value, order="deterministic")
    if len(document) > MAX_DOCUMENT:
        raise ValueError(f"The {what} of a job is small; keep content in artefacts.")
    return document.decode()


def _durable_url(url: str, folder: Path) -> str:
    kind, _, rest = url.partition("://")
    if kind.startswith("sqlite"):
        return f"sqlite:///{folder / 'jobs.sqlite'}"
    return f"postgresql://{rest.replace('ssl=', 'sslmode=')}"


def _log(event: str, error: Exception, **values: object) -> None:
    import structlog

    structlog.get_logger().error(event, exc_info=error, **values)
