"""The port: what is accepted, what becomes of it, and who may see it."""

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from junctor.core.errors import (
    ConcurrencyLimitedError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from junctor.core.jobs import Job, Jobs, JobState, Progress
from junctor.core.storage.jobs import JobRow, JobTable
from tests.fakes.databases import gone
from tests.waiting import until


async def nothing(_job: Job, _progress: Progress) -> dict[str, object]:
    return {}


async def over(jobs: Jobs, job: Job) -> Job:
    while not job.is_over:
        await asyncio.sleep(0.005)
        job = await jobs.get(job.id, team=job.team)
    return job


async def running(jobs: Jobs, job: Job) -> None:
    while (await jobs.get(job.id, team=job.team)).state is not JobState.RUNNING:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("jobs.sqlite*"))


async def test_done(jobs, database) -> None:
    """A job is worked on with its payload, and its result is kept."""

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        made = await progress.step("make", lambda: asyncio.sleep(0, "artefact-1"))
        await progress.report(0.5)
        return {"made": made, "asked": job.payload["x"]}

    jobs.register("test", work)
    await jobs.open(database)
    queued = await jobs.submit("test", team="acme", payload={"x": 1})
    job = await over(jobs, queued)

    assert (queued.state, job.state, job.progress) == (JobState.QUEUED, JobState.DONE, 1.0)
    assert (job.result, job.error, job.attempts) == ({"made": "artefact-1", "asked": 1}, None, 1)
    assert job.created_at <= (job.started_at or 0) <= (job.finished_at or 0)


async def test_failed(jobs, database) -> None:
    """Our errors are told, others are not; DBOS learns neither."""

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        async def spoken() -> str:
            raise ValueError("SPOKEN words")

        if job.payload["own"]:
            raise InvalidRequestError("The picture\x00 is not one.")
        return {"made": await progress.step("say", spoken)}

    jobs.register("test", work)
    await jobs.open(database)
    both = [await jobs.submit("test", team="acme", payload={"own": own}) for own in (True, False)]
    own, other = [await over(jobs, job) for job in both]

    assert (own.state, own.error) == (JobState.FAILED, "The picture is not one.")
    assert (other.state, "SPOKEN" in str(other.error)) == (JobState.FAILED, False)


async def test_dbos_learns_ids_only(jobs, database, tmp_path: Path) -> None:
    """Payload, result, errors and what was said are nowhere in DBOS' tables."""

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        async def failing() -> str:
            raise ValueError("SPOKEN")

        await progress.step("make", lambda: asyncio.sleep(0, "artefact-1"))
        try:
            await progress.step("fail", failing)
        except ValueError:
            return {"text": "SPOKEN"}
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={"text": "SPOKEN"}))
    await jobs.close()
    stored = await asyncio.to_thread(everything, tmp_path)

    assert job.state is JobState.DONE
    assert (b"SPOKEN" in stored, b"acme" in stored) == (False, False)
    assert (job.id.encode() in stored, b"artefact-1" in stored) == (True, True)


@pytest.mark.parametrize("made", ["some words", "x" * 201, "สวัสดี"])
async def test_steps_return_ids(jobs, database, made: str) -> None:
    """What a step returns is remembered by DBOS: content is refused."""

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        await progress.step("make", lambda: asyncio.sleep(0, made))
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))

    assert job.state is JobState.FAILED


async def test_teams_are_apart(jobs, database) -> None:
    """Nobody sees, lists or cancels another team's job."""
    jobs.register("test", nothing)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))
    for call in (jobs.get, jobs.cancel):
        with pytest.raises(NotFoundError):
            await call(job.id, team="evil")

    assert (await jobs.list("evil"), await jobs.list("acme")) == ([], [job])


async def test_list_pages(jobs, database) -> None:
    """The newest come first, and the last id leads to the next page."""
    jobs.register("test", nothing)
    await jobs.open(database)
    made = [await jobs.submit("test", team="acme", payload={"n": n}) for n in range(5)]
    first = await jobs.list("acme", limit=3)
    second = await jobs.list("acme", limit=3, before=first[-1].id)

    assert [job.id for job in first + second] == [job.id for job in reversed(made)]


@pytest.mark.parametrize("id_", ["", "job_\0", "งาน", "job_" + "0" * 200])
async def test_what_is_no_id(jobs, database, id_: str) -> None:
    """It is told from a database that is away, also where that refuses a NUL; no page follows it."""
    await jobs.open(database)
    for call in (jobs.get, jobs.cancel):
        with pytest.raises(NotFoundError):
            await call(id_, team="acme")
    with pytest.raises(InvalidRequestError, match="id of a job"):
        await jobs.list("acme", before=id_)


async def test_idempotency_key(jobs, database) -> None:
    """The same key is the same job, of its team only; another payload is refused."""
    jobs.register("test", nothing)
    await jobs.open(database)
    submit = jobs.submit
    one = await submit("test", team="acme", payload={"a": 1, "b": 2}, idempotency_key="k")
    same = await submit("test", team="acme", payload={"b": 2, "a": 1}, idempotency_key="k")
    other = await submit("test", team="beta", payload={"a": 1}, idempotency_key="k")
    with pytest.raises(InvalidRequestError) as caught:
        await submit("test", team="acme", payload={"a": 2}, idempotency_key="k")

    assert (one.id == same.id, one.id == other.id) == (True, False)
    assert caught.value.param == "idempotency_key"


async def test_idempotency_key_at_once(jobs, database) -> None:
    """Two requests in the same moment become one job."""
    jobs.register("test", nothing)
    await jobs.open(database)
    both = await asyncio.gather(
        *(jobs.submit("test", team="a", payload={}, idempotency_key="k") for _ in range(5))
    )

    assert len({job.id for job in both}) == 1


async def test_bounded(jobs, database, settings) -> None:
    """A team has so many unfinished jobs at most, and another team its own."""
    jobs.register("test", lambda _job, _progress: asyncio.Event().wait())
    await jobs.open(database)
    for n in range(settings.jobs.max_unfinished):
        await jobs.submit("test", team="acme", payload={"n": n})
    with pytest.raises(ConcurrencyLimitedError):
        await jobs.submit("test", team="acme", payload={})

    assert await jobs.submit("test", team="beta", payload={})


async def test_refused(jobs, database) -> None:
    """An unknown queue, an unknown kind, and content in a payload are mistakes of ours."""
    jobs.register("test", nothing)
    await jobs.open(database)
    with pytest.raises(ConfigError, match=r"jobs\.queues\.gpu"):
        await jobs.submit("test", team="acme", payload={}, queue="gpu")
    with pytest.raises(ValueError, match="register"):
        await jobs.submit("other", team="acme", payload={})
    with pytest.raises(ValueError, match="artefacts"):
        await jobs.submit("test", team="acme", payload={"audio": "x" * 70_000})

    assert await jobs.list("acme") == []


async def test_priority_and_concurrency(jobs, database) -> None:
    """One at a time where the queue is narrow, the larger priority first."""
    order: list[object] = []
    go = asyncio.Event()

    async def work(job: Job, _progress: Progress) -> dict[str, object]:
        order.append(job.payload["n"])
        await go.wait()
        order.append("end")
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    first = await jobs.submit("test", team="acme", payload={"n": 0}, queue="narrow")
    await running(jobs, first)
    made = [
        await jobs.submit("test", team="acme", payload={"n": n}, queue="narrow", priority=n)
        for n in (1, 3, 2)
    ]
    await asyncio.sleep(0.2)  # they are queued behind the first by now
    go.set()
    for job in made:
        await over(jobs, job)

    assert order == [0, "end", 3, "end", 2, "end", 1, "end"]


@pytest.mark.parametrize("is_running", [True, False])
async def test_cancel(jobs, database, is_running: bool) -> None:
    """A running job is interrupted in the middle of a step, a queued one never begins."""
    left: list[str] = []
    begun = asyncio.Event()

    async def hang() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.append("step")
        return ""

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        return {"made": await progress.step("hang", hang)}

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={}, queue="narrow")
    if is_running:
        await begun.wait()
    canceled = await jobs.cancel(job.id, team="acme")
    again = await jobs.submit("test", team="acme", payload={}, queue="narrow")
    await running(jobs, again)

    assert (canceled.state, await jobs.cancel(job.id, team="acme")) == ("canceled", canceled)
    assert left == ["step"] * is_running


async def test_cancel_sealed(jobs, database, settings) -> None:
    """What is sealed is not cancelled, stays sealed over a restart, and is done."""
    runs: list[bool] = []
    go = asyncio.Event()

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        await progress.seal()
        runs.append(job.is_sealed)
        await go.wait()
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={})
    await until(lambda: runs)
    sealed = await jobs.cancel(job.id, team="acme")
    await jobs.close()
    await jobs.open(database)
    again = await jobs.cancel(job.id, team="acme")
    go.set()
    job = await over(jobs, job)

    assert (sealed.state, sealed.is_sealed, again.is_sealed) == (JobState.RUNNING, True, True)
    assert (job.state, runs) == (JobState.DONE, [False, True])


@pytest.mark.parametrize("end", ["failure", "shutdown", "cancellation"])
async def test_begun_by_another_process(jobs, database, end: str) -> None:
    """Whoever was taken for dead and is not leaves the job to the process that began it since."""
    begun = asyncio.Event()

    async def work(job: Job, _progress: Progress) -> dict[str, object]:
        sql = "UPDATE jobs SET attempts = attempts + 1 WHERE id = :id"
        await database.write(sql, [{"id": job.id}])
        begun.set()
        if end == "shutdown":
            await asyncio.Event().wait()
        if end == "cancellation":
            raise asyncio.CancelledError
        raise InvalidRequestError("no")

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={})
    await begun.wait()
    await jobs.close()
    found = await JobTable(database).find(job.id)

    assert found is not None
    assert (JobState.RUNNING, 2) == (found.state, found.attempts)


async def test_seal_of_a_canceled_job(jobs, database) -> None:
    """Whoever is cancelled first, in whatever process, cannot seal: nothing is to be paid for."""
    seen: list[BaseException] = []

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        await database.write("UPDATE jobs SET state = 'canceled' WHERE id = :id", [{"id": job.id}])
        try:
            await progress.seal()
        except asyncio.CancelledError as exc:
            seen.append(exc)
            raise
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))
    await until(lambda: seen)

    assert (job.state, job.is_sealed) == (JobState.CANCELED, False)


async def test_detail(jobs, database) -> None:
    """What is told last stays; another stage is told at once, the rest now and then."""
    told: list[object] = []

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        for share, detail in (
            (0.1, {"stage": "wait"}),
            (0.2, {"stage": "make", "frame": 1}),
            (0.3, {"stage": "make", "frame": 2}),
            (1.0, None),
        ):
            await progress.report(share, detail)
            told.append((await jobs.get(job.id, team="acme")).detail)
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))

    assert told == [{"stage": "wait"}, *[{"stage": "make", "frame": 1}] * 3]
    assert job.detail == {"stage": "make", "frame": 1}


async def test_detail_is_small(jobs, database) -> None:
    """A detail is no place for content."""

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        with pytest.raises(ValueError, match="2048"):
            await progress.report(0.1, {"text": "x" * 2048})
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))

    assert (job.state, job.detail) == (JobState.DONE, None)


async def test_report_while_the_database_is_away(jobs, database, tmp_path: Path) -> None:
    """No job fails because nobody could write down how far it is."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        begun.set()
        await go.wait()
        await progress.report(1)
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={})
    await begun.wait()
    with gone(tmp_path / "junctor.db"):
        go.set()
        await asyncio.sleep(0.1)  # the report has failed by now; it is no harm if not

    assert (await over(jobs, job)).state is JobState.DONE


async def test_unknown_kind(jobs, database) -> None:
    """A job that only other processes can do is left to them, and holds nobody up."""
    row = JobRow(
        id="job_1", team="acme", kind="alien", queue="narrow", priority=0, payload="{}", digest="",
        created_at=1,
    )  # fmt: skip
    await JobTable(database).add(row)
    jobs.register("test", nothing)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}, queue="narrow"))
    alien = await jobs.get("job_1", team="acme")

    assert (job.state, alien.state, alien.attempts) == (JobState.DONE, JobState.QUEUED, 0)


async def test_digest(jobs, database) -> None:
    """Where a digest says what makes requests the same, payloads may differ."""
    jobs.register("test", nothing)
    await jobs.open(database)
    submit = partial(jobs.submit, "test", team="acme", idempotency_key="k", digest="d")
    before = await jobs.known("acme", "k", "d")
    one, same = await submit(payload={"n": 1}), await submit(payload={"n": 2})
    known = await jobs.known("acme", "k", "d")
    with pytest.raises(InvalidRequestError):
        await jobs.known("acme", "k", "other")

    assert known is not None
    assert (before, one.id, known.id) == (None, same.id, one.id)


async def test_waiting(jobs, database) -> None:
    """Who waits is told how many go first, and the team how many seconds it has asked for."""
    hang = asyncio.Event()

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        await hang.wait()
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    submit = partial(jobs.submit, "test", payload={}, queue="narrow", seconds=2.5)
    await running(jobs, first := await submit(team="acme"))
    made = [await submit(team="acme", priority=n) for n in (0, 5, 0)]
    ahead = [await jobs.ahead(job) for job in made]
    seconds = await jobs.unfinished_seconds("acme"), await jobs.unfinished_seconds("beta")
    await jobs.count()
    hang.set()
    ended = [await over(jobs, job) for job in (first, *made)]

    assert (ahead, seconds) == ([1, 0, 2], (10.0, 0.0))
    assert jobs.counts == {("narrow", "running"): 1, ("narrow", "queued"): 3}
    assert (await jobs.ahead(ended[-1]), await jobs.unfinished_seconds("acme")) == (0, 0.0)


async def test_kinds_are_apart(jobs, database) -> None:
    """Who asks for one kind is shown no other."""
    jobs.register("test", nothing)
    jobs.register("other", nothing)
    await jobs.open(database)
    made = [await jobs.submit(kind, team="acme", payload={}) for kind in ("test", "other")]
    listed = await jobs.list("acme", kind="other")
    got = await jobs.get(made[0].id, team="acme", kind="test")
    with pytest.raises(NotFoundError):
        await jobs.get(made[0].id, team="acme", kind="other")

    assert ([job.id for job in listed], got.id) == ([made[1].id], made[0].id)


async def test_drain(jobs, database) -> None:
    """What is running may end, what waits is left for the next start."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        begun.set()
        await go.wait()
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    made = [await jobs.submit("test", team="acme", payload={}, queue="narrow") for _ in range(2)]
    await begun.wait()
    draining = asyncio.create_task(jobs.drain(30))
    await asyncio.sleep(0.1)  # it waits, and would for 30 seconds
    go.set()
    await draining
    ended = [(await jobs.get(job.id, team="acme")).state for job in made]

    assert ended == [JobState.DONE, JobState.QUEUED]


async def test_queues_of_one_process_are_not_chosen(database, settings) -> None:
    """On SQLite nobody else could work on the others, so that their jobs would wait for ever."""
    jobs = Jobs(lambda: settings, queues=["narrow"])
    with pytest.raises(ConfigError, match="SQLite"):
        await jobs.open(database)
    await jobs.close()


async def test_work_that_cancels_itself(jobs, database) -> None:
    """A job nobody cancelled does not end as if somebody had, nor stay running for ever."""

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        raise asyncio.CancelledError

    jobs.register("test", work)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))

    assert job.state is JobState.FAILED


async def test_many(jobs, database) -> None:
    """Of many short jobs each ends well, while others begin and are looked after."""

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    made = [await jobs.submit("test", team="acme", payload={"n": n}) for n in range(50)]
    ended = [await over(jobs, job) for job in made]

    assert {job.state for job in ended} == {JobState.DONE}


async def test_cancelled_elsewhere(jobs, database) -> None:
    """A report learns that another process was asked to cancel."""
    seen: list[BaseException] = []

    async def work(job: Job, progress: Progress) -> dict[str, object]:
        sql = "UPDATE jobs SET state = 'canceled' WHERE id = :id"
        await database.write(sql, [{"id": job.id}])
        try:
            await progress.report(1)
        except asyncio.CancelledError as exc:
            seen.append(exc)
            raise
        return {}

    jobs.register("test", work)
    await jobs.open(database)
    await over(jobs, await jobs.submit("test", team="acme", payload={}))
    await until(lambda: seen)

    assert len(seen) == 1


async def test_restart(jobs, database, settings) -> None:
    """A shutdown interrupts a job, which goes on at the next start; that is no attempt."""
    steps: list[str] = []

    async def one() -> str:
        steps.append("one")
        return "artefact-1"

    async def two() -> str:
        steps.append("two")
        if len(steps) < 3:
            await asyncio.Event().wait()
        return "artefact-2"

    async def work(_job: Job, progress: Progress) -> dict[str, object]:
        return {"one": await progress.step("one", one), "two": await progress.step("two", two)}

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={})
    await until(lambda: len(steps) == 2)
    await jobs.close()
    await jobs.open(database)
    job = await over(jobs, job)

    assert (job.result, job.attempts) == ({"one": "artefact-1", "two": "artefact-2"}, 1)
    assert steps == ["one", "two", "two"]


async def test_too_many_attempts(jobs, database, settings) -> None:
    """A job under which the process dies again and again is given up, and its callback is due."""
    row = JobRow(
        id="job_1", team="acme", kind="test", queue="default", priority=0, payload="{}", digest="",
        state="running", attempts=settings.jobs.max_attempts, created_at=1, callback_url="http://a",
    )  # fmt: skip
    await JobTable(database).add(row)
    jobs.register("test", nothing)
    await jobs.open(database)
    job = await over(jobs, await jobs.get("job_1", team="acme"))

    assert (job.state, job.callback_state) == (JobState.FAILED, "pending")
    assert "5 times" in str(job.error)


async def test_database_away(jobs, database, tmp_path: Path) -> None:
    """A job that ends while the database is away is not lost; a new one is refused meanwhile."""
    go = asyncio.Event()

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        await go.wait()
        return {"a": 1}

    jobs.register("test", work)
    await jobs.open(database)
    job = await jobs.submit("test", team="acme", payload={})
    await running(jobs, job)
    with gone(tmp_path / "junctor.db"):
        go.set()
        with pytest.raises(OverloadedError):
            await jobs.submit("test", team="acme", payload={})

    assert (await over(jobs, job)).result == {"a": 1}


async def test_purge(database, settings) -> None:
    """What ended long ago is deleted, and can be asked for no more."""
    now = 1_000_000
    jobs = Jobs(lambda: settings, now=lambda: now)
    jobs.register("test", nothing)
    await jobs.open(database)
    job = await over(jobs, await jobs.submit("test", team="acme", payload={}))
    await jobs.close()
    now += int(settings.jobs.keep * 1_000_000) + 1
    await jobs.open(database)
    while await jobs.list("acme"):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.005)
    with pytest.raises(NotFoundError):
        await jobs.get(job.id, team="acme")
    await jobs.close()


IMPORTS = """
import asyncio, sys
from junctor.conf.settings import Settings, Storage
from junctor.core.jobs import Jobs
from junctor.core.storage.database import Database

async def main(folder):
    settings = Settings(storage=Storage(data_dir=folder))
    database = Database(f"sqlite:///{folder}/junctor.db")
    await database.upgrade()
    jobs = Jobs(lambda: settings)
    await jobs.open(database)
    await jobs.list("acme")
    await asyncio.sleep(0)
    print(sorted({"dbos", "sqlalchemy", "psycopg", "aiohttp"} & set(sys.modules)))
    await jobs.close()
    await database.close()

asyncio.run(main(sys.argv[1]))
"""


def test_nothing_is_imported_without_jobs(tmp_path: Path) -> None:
    """A server without jobs pays nothing for them."""
    command = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
