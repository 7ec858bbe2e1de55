"""Jobs as they are stored, and the statements over them and over their deliveries."""

from collections.abc import Collection, Sequence

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database

UNFINISHED = "state IN ('queued', 'running')"
MOST_AHEAD = 10_000


class JobRow(Struct, frozen=True, kw_only=True, array_like=True):
    """One row of `jobs`; times are microseconds since 1970, UTC."""

    id: str
    team: str
    kind: str
    queue: str
    priority: int
    payload: str
    digest: str
    idempotency_id: str | None = None
    state: str = "queued"
    progress: float = 0.0
    result: str | None = None
    error: str | None = None
    attempts: int = 0
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    callback_url: str = ""
    callback_host: str = ""
    callback_state: str = ""
    callback_tries: int = 0
    callback_due: int | None = None
    detail: str | None = None
    sealed: int = 0
    seconds: float = 0.0


class DeliveryRow(Struct, frozen=True, kw_only=True, array_like=True):
    """One row of `deliveries`."""

    job_id: str
    number: int
    at: int
    """Microseconds since 1970, UTC."""
    status: int | None = None
    error: str = ""
    seconds: float


COLUMNS = ", ".join(JobRow.__struct_fields__)
_MARKS = ", ".join(f":{name}" for name in JobRow.__struct_fields__)
_DELIVERY = ", ".join(DeliveryRow.__struct_fields__)
_DELIVERY_MARKS = ", ".join(f":{name}" for name in DeliveryRow.__struct_fields__)


class JobTable:
    """The statements over `jobs`; each raises `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: JobRow) -> bool:
        """Insert `row`; False when its idempotency key has a job already."""
        sql = f"INSERT INTO jobs ({COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (idempotency_id) DO NOTHING"  # noqa: S608 - constants of ours, here and below
        return await self._database.write(sql, [structs.asdict(row)]) == 1

    async def find(self, id_: str) -> JobRow | None:
        """Return one job."""
        return await self._one("id = :value", id_)

    async def find_idempotent(self, idempotency_id: str) -> JobRow | None:
        """Return the job that an idempotency key has."""
        return await self._one("idempotency_id = :value", idempotency_id)

    async def page(
        self, team: str, *, limit: int, before: str | None, kind: str | None = None
    ) -> list[JobRow]:
        """Return jobs of a team, newest first, of one kind or all, older than the job `before`."""
        older = "" if before is None else "AND id < :before"
        alike = "" if kind is None else "AND kind = :kind"
        sql = f"""
            SELECT {COLUMNS} FROM jobs WHERE team = :team {older} {alike}
            ORDER BY id DESC LIMIT :limit
        """  # noqa: S608
        given = {"before": before, "kind": kind}
        more = {name: value for name, value in given.items() if value is not None}
        rows = await self._database.fetch(sql, team=team, limit=limit, **more)
        return convert(rows, list[JobRow])

    async def running(self) -> list[tuple[str, str, int]]:
        """Return id, queue and priority of all that is running, oldest first."""
        sql = "SELECT id, queue, priority FROM jobs WHERE state = 'running' ORDER BY id"
        return convert(await self._database.fetch(sql), list[tuple[str, str, int]])

    async def foremost(self, limit: int) -> list[tuple[str, str, int]]:
        """Return id, queue and priority of so many jobs that are next in each queue, in order."""
        sql = """
            SELECT id, queue, priority FROM (
                SELECT id, queue, priority,
                    ROW_NUMBER() OVER (PARTITION BY queue ORDER BY priority DESC, id) AS place
                FROM jobs WHERE state = 'queued'
            ) AS waiting WHERE place <= :limit ORDER BY place, id
        """
        rows = await self._database.fetch(sql, limit=limit)
        return convert(rows, list[tuple[str, str, int]])

    async def has_unfinished(self) -> bool:
        """Tell whether anything is queued or running."""
        sql = f"SELECT 1 FROM jobs WHERE {UNFINISHED} LIMIT 1"  # noqa: S608
        return bool(await self._database.fetch(sql))

    async def count_unfinished(self, team: str) -> int:
        """Return how many jobs of a team are queued or running."""
        sql = f"SELECT COUNT(*) FROM jobs WHERE team = :team AND {UNFINISHED}"  # noqa: S608
        return convert((await self._database.fetch(sql, team=team))[0][0], int)

    async def unfinished_seconds(self, team: str) -> float:
        """Return the sum of the seconds of a team's jobs that are queued or running."""
        sql = f"SELECT COALESCE(SUM(seconds), 0) FROM jobs WHERE team = :team AND {UNFINISHED}"  # noqa: S608
        return convert((await self._database.fetch(sql, team=team))[0][0], float)

    async def ahead(self, queue: str, *, priority: int, id_: str) -> int:
        """Count the queued jobs of a queue that go before one, no further than `MOST_AHEAD`."""
        sql = """
            SELECT COUNT(*) FROM (
                SELECT 1 FROM jobs WHERE state = 'queued' AND queue = :queue
                AND (priority > :priority OR (priority = :priority AND id < :id)) LIMIT :most
            ) AS others
        """
        rows = await self._database.fetch(
            sql, queue=queue, priority=priority, id=id_, most=MOST_AHEAD
        )
        return convert(rows[0][0], int)

    async def counts(self) -> dict[tuple[str, ...], int]:
        """Return how many jobs are queued and running, by queue and state."""
        sql = f"SELECT queue, state, COUNT(*) FROM jobs WHERE {UNFINISHED} GROUP BY state, queue"  # noqa: S608
        rows = convert(await self._database.fetch(sql), list[tuple[str, str, int]])
        return {(queue, state): count for queue, state, count in rows}

    async def begin(self, id_: str, *, at: int) -> JobRow | None:
        """Mark an attempt; None when the job is over or gone."""
        sql = f"""
            UPDATE jobs SET state = 'running', attempts = attempts + 1, progress = 0,
                detail = NULL, started_at = COALESCE(started_at, :at)
            WHERE id = :id AND {UNFINISHED}
        """  # noqa: S608
        done = await self._database.write(sql, [{"id": id_, "at": at}])
        return await self.find(id_) if done else None

    async def put_back(self, id_: str, *, attempt: int) -> None:
        """Take back an attempt that our own shutdown ended, unless another process made the next."""
        sql = """
            UPDATE jobs SET state = 'queued', attempts = attempts - 1
            WHERE id = :id AND state = 'running' AND attempts = :attempt
        """
        await self._database.write(sql, [{"id": id_, "attempt": attempt}])

    async def fail(self, id_: str, *, attempt: int, at: int, error: str) -> bool:
        """End a job whose attempt has failed; False when it is over, or was begun again since."""
        sql = """
            UPDATE jobs SET state = 'failed', finished_at = :at, error = :error,
                callback_state = CASE WHEN callback_url = '' THEN '' ELSE 'pending' END,
                callback_due = :at
            WHERE id = :id AND state = 'running' AND attempts = :attempt
        """
        row = {"id": id_, "attempt": attempt, "at": at, "error": error}
        return await self._database.write(sql, [row]) == 1

    async def progress(self, id_: str, share: float, detail: str | None = None) -> bool:
        """Note how far a job is; False when it is not running any more. No detail: as it was."""
        sql = """
            UPDATE jobs SET progress = :share, detail = COALESCE(:detail, detail)
            WHERE id = :id AND state = 'running'
        """
        return await self._database.write(sql, [{"id": id_, "share": share, "detail": detail}]) == 1

    async def seal(self, id_: str) -> bool:
        """Let a job be cancelled no more; False when it is not running any more."""
        sql = "UPDATE jobs SET sealed = 1 WHERE id = :id AND state = 'running'"
        return await self._database.write(sql, [{"id": id_}]) == 1

    async def finish(
        self, id_: str, *, state: str, at: int, result: str | None = None, error: str | None = None
    ) -> bool:
        """
        End a job and make its callback due, in one statement.

        False when it is over already, or is sealed and shall be cancelled.
        """
        sql = f"""
            UPDATE jobs SET state = :state, finished_at = :at, result = :result, error = :error,
                progress = CASE WHEN :is_done = 1 THEN 1 ELSE progress END,
                callback_state = CASE WHEN callback_url = '' THEN '' ELSE 'pending' END,
                callback_due = :at
            WHERE id = :id AND {UNFINISHED} AND (sealed = 0 OR :is_cancel = 0)
        """  # noqa: S608
        row = {
            "id": id_, "state": state, "is_done": int(state == "done"),
            "is_cancel": int(state == "canceled"), "at": at, "result": result, "error": error,
        }  # fmt: skip
        return await self._database.write(sql, [row]) == 1

    async def states(self, ids: Collection[str]) -> dict[str, str]:
        """Return the states of those jobs that there are, of at least one id."""
        marks, values = _listed("id", sorted(ids))
        sql = f"SELECT id, state FROM jobs WHERE id IN ({marks})"  # noqa: S608
        return dict(convert(await self._database.fetch(sql, **values), list[tuple[str, str]]))

    async def purge(self, before: int, *, limit: int) -> int:
        """Delete jobs that ended before a time, with their deliveries; return how many."""
        sql = """
            SELECT id FROM jobs WHERE state IN ('done', 'failed', 'canceled')
            AND finished_at < :before AND callback_state <> 'pending' LIMIT :limit
        """
        rows = [
            {"id": row[0]} for row in await self._database.fetch(sql, before=before, limit=limit)
        ]
        if rows:
            await self._database.write("DELETE FROM deliveries WHERE job_id = :id", rows)
            await self._database.write("DELETE FROM jobs WHERE id = :id", rows)
        return len(rows)

    async def _one(self, where: str, value: str) -> JobRow | None:
        sql = f"SELECT {COLUMNS} FROM jobs WHERE {where}"  # noqa: S608
        rows = await self._database.fetch(sql, value=value)
        return convert(rows[0], JobRow) if rows else None


class DeliveryTable:
    """The statements over callbacks that are due, and over the tries to deliver them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(
        self, at: int, *, busy_teams: Sequence[str], busy_hosts: Sequence[str], limit: int
    ) -> list[JobRow]:
        """Return jobs whose callback is due, none of a team or host that has enough under way."""
        teams, values = _listed("team", busy_teams)
        hosts, more = _listed("host", busy_hosts)
        sql = f"""
            SELECT {COLUMNS} FROM jobs WHERE callback_state = 'pending' AND callback_due <= :at
            {f"AND team NOT IN ({teams})" if teams else ""}
            {f"AND callback_host NOT IN ({hosts})" if hosts else ""}
            ORDER BY callback_due LIMIT :limit
        """  # noqa: S608
        rows = await self._database.fetch(sql, at=at, limit=limit, **values, **more)
        return convert(rows, list[JobRow])

    async def next_due(self, after: int) -> int | None:
        """Return when the next callback becomes due, microseconds since 1970."""
        sql = """
            SELECT MIN(callback_due) FROM jobs
            WHERE callback_state = 'pending' AND callback_due > :after
        """
        return convert((await self._database.fetch(sql, after=after))[0][0], int | None)

    async def claim(self, row: JobRow, *, until: int) -> bool:
        """Take a try for this process until a time; False when another one has it."""
        sql = """
            UPDATE jobs SET callback_due = :until, callback_tries = callback_tries + 1
            WHERE id = :id AND callback_state = 'pending' AND callback_due = :due
            AND callback_tries = :tries
        """
        values = {
            "id": row.id, "until": until, "due": row.callback_due, "tries": row.callback_tries
        }  # fmt: skip
        return await self._database.write(sql, [values]) == 1

    async def settle(self, id_: str, *, state: str, due: int | None, until: int) -> None:
        """Note what became of a claimed try."""
        sql = """
            UPDATE jobs SET callback_state = :state, callback_due = :due
            WHERE id = :id AND callback_due = :until
        """
        await self._database.write(sql, [{"id": id_, "state": state, "due": due, "until": until}])

    async def add(self, row: DeliveryRow) -> None:
        """Insert a try."""
        sql = f"INSERT INTO deliveries ({_DELIVERY}) VALUES ({_DELIVERY_MARKS}) ON CONFLICT DO NOTHING"  # noqa: S608
        await self._database.write(sql, [structs.asdict(row)])

    async def of(self, job_id: str) -> list[DeliveryRow]:
        """Return the tries for one job, oldest first."""
        sql = f"SELECT {_DELIVERY} FROM deliveries WHERE job_id = :id ORDER BY number"  # noqa: S608
        return convert(await self._database.fetch(sql, id=job_id), list[DeliveryRow])


def _listed(name: str, values: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Return the marks and the parameters of an `IN` list."""
    named: dict[str, object] = {f"{name}{at}": value for at, value in enumerate(values)}
    return ", ".join(f":{mark}" for mark in named), named
