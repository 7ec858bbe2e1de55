"""The port: submit, look, list, cancel; and DBOS started and fed when there is something to do."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
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
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from junctor.core.jobs.durable import Durable
from junctor.core.jobs.job import Job, JobState, idempotency_id, job_of
from junctor.core.jobs.runs import AGAIN, Runs, Work, document_of
from junctor.core.storage.database import Database, data_folder, database_url
from junctor.core.storage.jobs import JobRow, JobTable

T = TypeVar("T")

AHEAD = 32
"""Jobs of each queue that DBOS is told of before they begin: it takes 4 ms of CPU to tell it of one,
and as long to make it forget one that is cancelled. Twice a queue's concurrency, where that is more."""
DEFAULT_QUEUE = "default"
VIDEO_QUEUE = "video"
MAX_PAGE = 1000
TEND_POLLS = 10
"""Looks for queued jobs between two looks for processes that are gone."""
HOUR = 3600.0
COUNTED = 5.0
"""Seconds for which the numbers of jobs are not counted again."""
_MICROS = 1_000_000
_ID = re.compile(r"[!-~]{1,200}")
"""Of jobs; what else is asked for, the database is not to see: Postgres takes no NUL."""


def _micros() -> int:
    return time.time_ns() // 1000


class Jobs:
    """
    Durable jobs of this process.

    A job is durable when `submit` returns. DBOS is imported with the first one, or at start when
    jobs were left unfinished or others may leave some (Postgres), never on the application's thread.

    Args:
        settings: returns the settings of the moment; queues are read when DBOS is started.
        queues: those whose jobs this process does, instead of what `jobs.work` says.
        ended: called on the loop whenever a job has ended here.
        now: microseconds since 1970, UTC.

    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        queues: Sequence[str] | None = None,
        ended: Callable[[], None] = lambda: None,
        now: Callable[[], int] = _micros,
    ) -> None:
        self._settings = settings
        self._ended = ended
        self._now = now
        self._chosen = queues
        self._works: dict[str, Work] = {}
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._durable: Durable | None = None
        self._opened: tuple[JobTable, Runs] | None = None
        self.counts: Mapping[tuple[str, ...], int] = {}
        """Jobs that were queued and running when they were counted last, by queue and state."""
        self._counted = -COUNTED

    @property
    def _table(self) -> JobTable:
        return self._both[0]

    @property
    def _runs(self) -> Runs:
        return self._both[1]

    @property
    def _both(self) -> tuple[JobTable, Runs]:
        if self._opened is None:
            raise OverloadedError("The server is starting or shutting down.")
        return self._opened

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
            ConfigError: an unknown queue is to be worked on, or some only, and the database is
                one of a single process.
            OverloadedError: the database cannot be reached.

        """
        self.check()
        table = JobTable(database)
        runs = Runs(table, self._works, settings=self._settings, ended=self._end, now=self._now)
        self._opened = table, runs
        self._tasks.append(asyncio.create_task(self._purge()))
        if self._is_shared() or await table.has_unfinished():
            self._start()

    async def drain(self, within: float) -> None:
        """Begin no more jobs, and wait for those that are running; `within` so many seconds."""
        if self._durable is not None:
            await asyncio.to_thread(self._durable.pause)
        await self._runs.drain(within)

    async def close(self) -> None:
        """Stop; running jobs are interrupted, and go on at the next start. Idempotent."""
        if self._opened is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._runs.close(), return_exceptions=True)
        self._tasks.clear()
        self._opened = None
        if self._durable is not None:
            await self._blocking(self._durable.close)
            self._durable = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def submit(  # noqa: PLR0913 - each says something else about a job
        self,
        kind: str,
        *,
        team: str,
        payload: Mapping[str, object],
        queue: str = DEFAULT_QUEUE,
        priority: int = 0,
        idempotency_key: str | None = None,
        digest: str | None = None,
        seconds: float = 0.0,
    ) -> Job:
        """
        Accept a job; it will be done, whatever becomes of the process.

        Args:
            kind: one that is registered.
            team: whose it is.
            payload: small, JSON; big things are artefacts and named by id. `callback_url`, where it
                is given, is told the end; check it with the guard first.
            queue: `default`, `video`, or one of the settings.
            priority: from -1000 to 1000, larger goes first.
            idempotency_key: the same key of the same team is the same job.
            digest: what makes two requests with one key the same; None: kind and payload do.
            seconds: of media that it will be charged for; see `unfinished_seconds`.

        Raises:
            InvalidRequestError: the key came with another request before.
            ConcurrencyLimitedError: the team has too many unfinished jobs.
            ConfigError: there is no such queue.
            OverloadedError: the database cannot be used.

        """
        row = self._row(kind, team, payload, queue, priority)
        key = None if idempotency_key is None else idempotency_id(team, idempotency_key)
        row = msgspec.structs.replace(
            row, idempotency_id=key, digest=digest or row.digest, seconds=seconds
        )
        if known := await self._known(key, row.digest):
            return known
        bound = self._settings().jobs.max_unfinished
        if await self._table.count_unfinished(team) >= bound:
            raise ConcurrencyLimitedError(limit=bound)
        if not await self._table.add(row) and (known := await self._known(key, row.digest)):
            return known
        self._start()
        return job_of(row)

    async def known(self, team: str, key: str, digest: str) -> Job | None:
        """
        Return the job that an idempotency key of a team has, if it has one.

        Raises:
            InvalidRequestError: the key came with another digest.
            OverloadedError: the database cannot be used.

        """
        return await self._known(idempotency_id(team, key), digest)

    async def get(self, id_: str, *, team: str, kind: str | None = None) -> Job:
        """
        Return a job of a team, of one kind or of any.

        Raises:
            NotFoundError: the team has no such job, or it ended long ago.
            OverloadedError: the database cannot be used.

        """
        row = await self._table.find(id_) if _ID.fullmatch(id_) else None
        if row is None or row.team != team or kind not in {None, row.kind}:
            raise NotFoundError("There is no job of this id. It may have been deleted with time.")
        return job_of(row)

    async def list(
        self, team: str, *, kind: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Job]:
        """
        Return a team's jobs, newest first.

        Args:
            team: whose jobs.
            kind: only those of this kind.
            limit: how many at most.
            before: the last id of the page before.

        Raises:
            InvalidRequestError: `before` is no id of a job.
            OverloadedError: the database cannot be used.

        """
        if before is not None and not _ID.fullmatch(before):
            raise InvalidRequestError("'before' has to be the id of a job.", param="before")
        bounded = max(1, min(MAX_PAGE, limit))
        rows = await self._table.page(team, limit=bounded, before=before, kind=kind)
        return [job_of(row) for row in rows]

    async def cancel(self, id_: str, *, team: str) -> Job:
        """
        Cancel a job, queued or running; one that is over, or sealed, stays as it is.

        Raises:
            NotFoundError: the team has no such job.

        """
        await self.get(id_, team=team)
        if await self._table.finish(id_, state=JobState.CANCELED, at=self._now()):
            self._runs.stop(id_)
            self._ended()
        return await self.get(id_, team=team)

    async def ahead(self, job: Job) -> int:
        """Return how many queued jobs go before a queued one in its queue; 0 for any other."""
        if job.state is not JobState.QUEUED:
            return 0
        return await self._table.ahead(job.queue, priority=job.priority, id_=job.id)

    async def unfinished_seconds(self, team: str) -> float:
        """Return the sum of the seconds of a team's unfinished jobs."""
        return await self._table.unfinished_seconds(team)

    async def count(self) -> None:
        """Count how many jobs are queued and running, unless that is some seconds ago only."""
        if time.monotonic() - self._counted > COUNTED:
            self._counted = time.monotonic()
            self.counts = await self._table.counts()

    def works_on(self, queue: str) -> bool:
        """Say whether this process does the jobs of a queue, or leaves them to others."""
        chosen = self._worked_on()
        return chosen is None or queue in chosen

    def check(self) -> None:
        """
        See whether this process can work on what it shall.

        Raises:
            ConfigError: as in `open`.

        """
        chosen = self._worked_on()
        if chosen is None:
            return
        if not self._is_shared():
            raise ConfigError(
                "choosing queues needs Postgres: an SQLite file belongs to one process, which "
                "works on all of its jobs.",
                key="jobs.work",
            )
        for name in chosen:
            self._known_queue(name)

    def _is_shared(self) -> bool:
        return not database_url(self._settings().storage).startswith("sqlite")

    def _worked_on(self) -> Sequence[str] | None:
        return self._settings().jobs.work if self._chosen is None else self._chosen

    def _known_queue(self, name: str) -> None:
        if name not in self._settings().jobs.concurrencies():
            raise ConfigError("there is no such queue of jobs.", key=f"jobs.queues.{name}")

    def _row(
        self, kind: str, team: str, payload: Mapping[str, object], queue: str, priority: int
    ) -> JobRow:
        if kind not in self._works:
            raise ValueError(f"There are no jobs of kind {kind!r}; register it first.")
        self._known_queue(queue)
        document = document_of(payload, "payload")
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

    async def _known(self, key: str | None, digest: str) -> Job | None:
        known = None if key is None else await self._table.find_idempotent(key)
        if known is not None and known.digest != digest:
            raise InvalidRequestError(
                "The idempotency key was used for another request. Use a fresh key for each.",
                param="idempotency_key",
            )
        return None if known is None else job_of(known)

    def _end(self) -> None:
        self._news.set()
        self._ended()

    def _start(self) -> None:
        """Have DBOS started and fed, unless it is."""
        self._news.set()
        if self._durable is None and self._opened is not None:
            storage = self._settings().storage
            url = _durable_url(database_url(storage), data_folder(storage))
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="junctor-jobs")
            self._durable = Durable(url, run=self._runs.run, loop=asyncio.get_running_loop())
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
                            self._settings().jobs.concurrencies(),
                            works_on=self._worked_on(),
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
        """Give DBOS what it lacks, then what comes next; yields after each round that went well."""
        running = await self._table.running()
        await self._blocking(lambda: durable.reconcile(running))
        told: frozenset[str] = frozenset()
        tended, swept = -HOUR, time.monotonic()
        while True:
            pause = self._settings().jobs.poll_interval
            self._news.clear()
            foremost = await self._table.foremost(self._most_ahead())
            batch = [job for job in foremost if job[0] not in told]
            await self._blocking(partial(durable.enqueue, batch))
            told = frozenset(job[0] for job in foremost)
            if time.monotonic() - tended >= pause * TEND_POLLS:
                tended = time.monotonic()
                await self._blocking(durable.reap)
                await self._runs.stop_canceled()
            if time.monotonic() - swept > HOUR:
                swept = time.monotonic()
                await self._blocking(durable.sweep)
            yield
            await asyncio.sleep(pause)  # DBOS does not look more often either
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * TEND_POLLS):
                    await self._news.wait()

    def _most_ahead(self) -> int:
        return max(AHEAD, 2 * max(self._settings().jobs.concurrencies().values()))

    async def _purge(self) -> None:
        while True:
            try:
                before = self._now() - int(self._settings().jobs.keep * _MICROS)
                while await self._table.purge(before, limit=MAX_PAGE):
                    pass
            except Exception as exc:  # noqa: BLE001 - the boundary of a background task
                _log("jobs_not_purged", exc)
            await asyncio.sleep(HOUR)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _durable_url(url: str, folder: Path) -> str:
    kind, _, rest = url.partition("://")
    if kind.startswith("sqlite"):
        return f"sqlite:///{folder / 'jobs.sqlite'}"
    return f"postgresql://{rest.replace('ssl=', 'sslmode=')}"


def _log(event: str, error: Exception, **values: object) -> None:
    import structlog

    structlog.get_logger().error(event, exc_info=error, **values)
