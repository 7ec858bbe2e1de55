"""
The end of a job told to its `callback_url`: signed, tried again, written down.

What is due stands in the row of the job itself, set by the statement that ended it: there is no
moment in which a job is over and its callback unknown. A receiver may get the same delivery twice
(after a kill), and then with the same `X-Junctor-Delivery`.
"""

import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from attrs import frozen

from junctor.conf.settings import Settings
from junctor.core.errors import NotFoundError, OverloadedError
from junctor.core.jobs import Job, JobState
from junctor.core.jobs.job import job_of
from junctor.core.net.faults import retry_after
from junctor.core.net.guard import GuardedClient, UrlError
from junctor.core.storage.database import Database
from junctor.core.storage.jobs import DeliveryRow, DeliveryTable, JobRow, JobTable
from junctor.core.storage.seed import kept_seed

SECRET_FILE = "callback.secret"  # noqa: S105 - a file's name
LOOK = 30.0
"""Seconds after which callbacks are looked for that another process left."""
AGAIN = 1.0
"""Seconds until a database that is away is asked again."""
MERCY = 1.0
"""Seconds beyond two timeouts after which a try under way counts as lost."""
_MICROS = 1_000_000
_ENDINGS = {JobState.DONE: "completed", JobState.FAILED: "failed", JobState.CANCELED: "canceled"}

Render = Callable[[Job], Awaitable[bytes]]
"""Returns the JSON that is delivered for a job; asked at each try, so that nothing is stored."""


@frozen(kw_only=True)
class Delivery:
    """One try to deliver the callback of a job."""

    id: str
    """Value of `X-Junctor-Delivery`, the same for every try of a job."""
    number: int
    at: int
    """Microseconds since 1970, UTC."""
    status: int | None
    """Of the answer, where there was one."""
    error: str
    """One word for what went wrong, empty where there was an answer."""
    seconds: float


class Callbacks:
    """
    Delivers what is due, of all teams side by side.

    Args:
        settings: returns the settings of the moment.
        guard: what sends.
        now: microseconds since 1970, UTC.

    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        guard: GuardedClient,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._now = now
        self._renders: dict[str, Render] = {}
        self._news = asyncio.Event()
        self._tries: set[asyncio.Task[None]] = set()
        self._busy_teams: Counter[str] = Counter()
        self._busy_hosts: Counter[str] = Counter()
        self._loop: asyncio.Task[None] | None = None
        self._folder = Path()
        self._tables: tuple[JobTable, DeliveryTable] | None = None

    def register(self, kind: str, render: Render) -> None:
        """Say what is delivered for jobs of a kind, instead of the job's own fields."""
        self._renders[kind] = render

    def wake(self) -> None:
        """Look for what is due now: a job has ended."""
        self._news.set()

    async def open(self, database: Database, folder: Path) -> None:
        """
        Begin to deliver, first what was left undelivered.

        Args:
            database: with the jobs.
            folder: the data folder, where the secret is kept when none is set.

        """
        self._folder = folder
        self._tables = JobTable(database), DeliveryTable(database)
        self._loop = asyncio.create_task(self._serve(self._tables[1]))

    async def close(self) -> None:
        """Stop; a try under way is broken off and made again at the next start. Idempotent."""
        tasks = [*self._tries, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop, self._tables = None, None

    async def deliveries(self, job_id: str, *, team: str) -> list[Delivery]:
        """
        Return every try to deliver the callback of a team's job, oldest first.

        Raises:
            NotFoundError: the team has no such job.

        """
        if self._tables is None:
            raise OverloadedError("The server is starting or shutting down.")
        jobs, deliveries = self._tables
        row = await jobs.find(job_id)
        if row is None or row.team != team:
            raise NotFoundError("There is no job of this id. It may have been deleted with time.")
        return [
            Delivery(
                id=delivery_id(job_id), number=one.number, at=one.at, status=one.status,
                error=one.error, seconds=one.seconds,
            )
            for one in await deliveries.of(job_id)
        ]  # fmt: skip

    async def _serve(self, table: DeliveryTable) -> None:
        is_stalled = False
        while True:
            self._news.clear()
            try:
                pause = await self._fill(table)
            except Exception as exc:  # noqa: BLE001 - the boundary of a background task
                if not is_stalled:
                    _log("callbacks_stalled", exc)
                is_stalled, pause = True, AGAIN
            else:
                is_stalled = False
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _fill(self, table: DeliveryTable) -> float:
        """Begin what is due and has room; return the seconds until there may be more."""
        section = self._settings().callbacks
        lease = int((2 * section.timeout + MERCY) * _MICROS)
        while (free := section.concurrency - len(self._tries)) > 0:
            rows = await table.due(
                self._now(),
                busy_teams=_full(self._busy_teams, section.concurrency_per_team),
                busy_hosts=_full(self._busy_hosts, section.concurrency_per_host),
                limit=free,
            )
            if not rows:
                break
            for row in rows:
                until = self._now() + lease
                if self._has_room(row) and await table.claim(row, until=until):
                    self._begin(table, row, until)
        now = self._now()
        due = await table.next_due(now)
        return LOOK if due is None else min(LOOK, max(0.001, (due - now) / _MICROS))

    def _has_room(self, row: JobRow) -> bool:
        section = self._settings().callbacks
        return (
            self._busy_teams[row.team] < section.concurrency_per_team
            and self._busy_hosts[row.callback_host] < section.concurrency_per_host
        )

    def _begin(self, table: DeliveryTable, row: JobRow, until: int) -> None:
        self._busy_teams[row.team] += 1
        self._busy_hosts[row.callback_host] += 1
        task = asyncio.create_task(self._try(table, row, until))
        self._tries.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._tries.discard(task)
            for busy, name in (
                (self._busy_teams, row.team), (self._busy_hosts, row.callback_host)
            ):  # fmt: skip
                busy[name] -= 1
                if not busy[name]:
                    del busy[name]
            self._news.set()

        task.add_done_callback(end)

    async def _try(self, table: DeliveryTable, row: JobRow, until: int) -> None:
        """Make one try and write down what came of it."""
        number = row.callback_tries + 1
        section = self._settings().callbacks
        at, began = self._now(), time.monotonic()
        status, error, wish = await self._outcome(row)
        seconds = time.monotonic() - began
        state, due = "pending", None
        if status is not None and 200 <= status < 300:  # noqa: PLR2004 - success, in HTTP
            state = "delivered"
        elif number >= section.attempts:
            state = "failed"
        else:
            pause = section.backoff * 2 ** min(number - 1, 62) * random.uniform(0.75, 1.25)  # noqa: S311
            due = self._now() + int(min(max(pause, wish), section.backoff_max) * _MICROS)
        try:
            await table.add(
                DeliveryRow(
                    job_id=row.id, number=number, at=at, status=status, error=error, seconds=seconds
                )
            )
            await table.settle(row.id, state=state, due=due, until=until)
        except OverloadedError as exc:
            _log("delivery_not_noted", exc, job=row.id)  # it counts as lost, and is made again

    async def _outcome(self, row: JobRow) -> tuple[int | None, str, float]:
        """Return the status, or the word for its lack, and the seconds that are asked for."""
        job = job_of(row)
        timeout = self._settings().callbacks.timeout
        try:
            async with asyncio.timeout(timeout):
                body = await self._renders.get(row.kind, _plain)(job)
                answer = await self._guard.post(
                    row.callback_url, headers=self._headers(job, body), body=body, within=timeout
                )
        except UrlError as exc:
            return None, exc.reason, 0.0
        except TimeoutError:
            return None, "timeout", 0.0
        except Exception as exc:  # noqa: BLE001 - the boundary of a try; what renders is a stranger
            _log("callback_not_sent", exc, job=row.id, kind=row.kind)
            return None, "internal", 0.0
        wish = retry_after({"Retry-After": answer.headers.get("retry-after", "")}) or 0.0
        return answer.status, "", wish

    def _headers(self, job: Job, body: bytes) -> dict[str, str]:
        stamp = self._now() // _MICROS
        secret = secret_of(self._settings(), self._folder, team=job.team)
        return {
            "Content-Type": "application/json",
            "X-Junctor-Delivery": delivery_id(job.id),
            "X-Junctor-Event": event(job),
            "X-Junctor-Timestamp": str(stamp),
            "X-Junctor-Signature": signature(secret, stamp, body),
        }


def secret_of(settings: Settings, folder: Path, *, team: str) -> str:
    """
    Return the secret that signs a team's deliveries: the team's, the deployment's, or a kept one.

    Raises:
        ConfigError: none is set, and none can be kept in the data folder.

    """
    own = settings.teams[team].callback_secret if team in settings.teams else None
    chosen = own or settings.callbacks.secret
    return chosen.reveal() if chosen else kept_seed(folder / SECRET_FILE).hex()


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return `v1=` and the HMAC-SHA-256 over timestamp (seconds since 1970), a dot and the body."""
    signed = f"{timestamp}.".encode() + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def event(job: Job) -> str:
    """Return what happened: `transcription.completed`, say."""
    return f"{job.kind}.{_ENDINGS.get(job.state, job.state)}"


def delivery_id(job_id: str) -> str:
    """Return the id by which a receiver knows a delivery again."""
    return f"dlv_{job_id.removeprefix('job_')}"


async def _plain(job: Job) -> bytes:
    return msgspec.json.encode(
        {
            "id": job.id, "event": event(job), "state": job.state, "result": job.result,
            "error": job.error, "metadata": job.payload.get("metadata"),
        }
    )  # fmt: skip


def _full(busy: Counter[str], bound: int) -> list[str]:
    return [name for name, count in busy.items() if count >= bound]


def _log(what: str, error: Exception, **values: object) -> None:
    import structlog

    structlog.get_logger().error(what, exc_info=error, **values)
