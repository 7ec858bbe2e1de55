"""The statements over jobs and deliveries, on both kinds of database."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from junctor.core.storage.database import Database
from junctor.core.storage.jobs import DeliveryRow, DeliveryTable, JobRow, JobTable
from tests.fakes.postgres import postgres, program

LATE = 9_999_999
"""Beyond what other tests purge: the databases are shared."""


@pytest.fixture(
    name="url", scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.tools)]
)
def _url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres":
        if program("initdb") is None and not os.environ.get("CI"):
            pytest.skip("Postgres is not installed (in CI this would be a failure)")
        with postgres() as url:
            yield url
    else:
        folder: Path = tmp_path_factory.mktemp("jobs")
        yield f"sqlite:///{folder}/junctor.db"


def row(id_: str, **values: object) -> JobRow:
    known: dict[str, object] = {
        "team": "acme", "kind": "test", "queue": "default", "priority": 0, "payload": "{}",
        "digest": "d", "created_at": 1, "callback_url": "http://a/", "callback_host": "a",
        "callback_state": "waiting", **values,
    }  # fmt: skip
    return JobRow(id=id_, **known)  # type: ignore[arg-type]


async def test_life_of_a_job(url: str) -> None:
    """Each statement changes what it says, and only in the state that it is for."""
    database = Database(url)
    await database.upgrade()
    jobs = JobTable(database)
    added = [await jobs.add(row("job_1", idempotency_id="k")), await jobs.add(row("job_2"))]
    again = await jobs.add(row("job_3", idempotency_id="k"))
    begun = await jobs.begin("job_1", at=5)
    noted = [await jobs.progress("job_1", 0.5), await jobs.progress("job_2", 0.5)]
    ended = [await jobs.finish("job_1", state="done", at=7, result="{}") for _ in range(2)]
    states = await jobs.states(["job_1", "job_2", "job_9"])
    page = await jobs.page("acme", limit=1, before="job_2")

    assert (added, again, noted, ended) == ([True, True], False, [True, False], [True, False])
    assert begun is not None
    assert (begun.state, begun.attempts, begun.started_at) == ("running", 1, 5)
    assert states == {"job_1": "done", "job_2": "queued"}
    assert (await jobs.foremost(9), await jobs.count_unfinished("acme")) == (
        [("job_2", "default", 0)], 1,
    )  # fmt: skip
    assert [(one.id, one.progress, one.callback_state, one.callback_due) for one in page] == [
        ("job_1", 1.0, "pending", 7)
    ]
    await database.close()


async def test_life_of_a_callback(url: str) -> None:
    """A try belongs to one process, until it is settled or its time is over."""
    database = Database(url)
    await database.upgrade()
    jobs, deliveries = JobTable(database), DeliveryTable(database)
    await jobs.add(row("job_5", team="beta", callback_host="b"))
    await jobs.finish("job_5", state="failed", at=2_000, error="no")
    busy = await deliveries.due(3_000, busy_teams=["acme", "beta"], busy_hosts=["x"], limit=9)
    (due,) = await deliveries.due(3_000, busy_teams=["acme"], busy_hosts=[], limit=9)
    claims = [await deliveries.claim(due, until=9_000) for _ in range(2)]
    following = await deliveries.next_due(3_000)
    tried = DeliveryRow(job_id="job_5", number=1, at=3_000, status=500, seconds=0.5)
    await deliveries.add(tried)
    await deliveries.settle("job_5", state="delivered", due=None, until=9_000)
    kept = await jobs.purge(1_000, limit=9)
    listed = await deliveries.of("job_5")
    gone = await jobs.purge(5_000, limit=9)

    assert (busy, due.id, claims, following) == ([], "job_5", [True, False], 9_000)
    assert (kept, listed) == (0, [tried])
    assert gone >= 1
    assert (await jobs.find("job_5"), await deliveries.of("job_5")) == (None, [])
    await database.close()


async def test_seal_and_detail(url: str) -> None:
    """A sealed job ends, but is not cancelled; what it tells stays until it is begun again."""
    database = Database(url)
    await database.upgrade()
    table = JobTable(database)
    await table.add(row("s", team="seal", callback_url=""))
    too_soon = await table.seal("s")
    await table.begin("s", at=1)
    sealed = await table.progress("s", 0.1, '{"a":1}'), await table.seal("s")
    refused = await table.finish("s", state="canceled", at=2)
    await table.progress("s", 0.2)
    told = await table.find("s")
    begun = await table.begin("s", at=3)
    done = await table.finish("s", state="done", at=LATE)
    await database.close()

    assert told is not None
    assert begun is not None
    assert (too_soon, sealed, refused, done) == (False, (True, True), False, True)
    assert (told.detail, begun.detail, begun.sealed) == ('{"a":1}', None, 1)


async def test_order(url: str) -> None:
    """The larger priority goes first, then the older; what runs is counted apart."""
    database = Database(url)
    await database.upgrade()
    table = JobTable(database)
    for id_, priority in (("o1", 0), ("o2", 5), ("o3", 0), ("o4", 0)):
        one = row(id_, team="order", queue="order", priority=priority, seconds=1.5)
        await table.add(structs.replace(one, callback_url=""))
    await table.begin("o1", at=1)
    ahead = [
        await table.ahead("order", priority=priority, id_=id_)
        for id_, priority in (("o2", 5), ("o3", 0), ("o4", 0))
    ]
    foremost = [one[0] for one in await table.foremost(2) if one[1] == "order"]
    running = [one[0] for one in await table.running()]
    counts = {key: n for key, n in (await table.counts()).items() if key[0] == "order"}
    seconds = await table.unfinished_seconds("order"), await table.unfinished_seconds("nobody")
    for id_ in ("o1", "o2", "o3", "o4"):
        await table.finish(id_, state="done", at=LATE)
    await database.close()

    assert (ahead, seconds) == ([0, 1, 2], (6.0, 0.0))
    assert (foremost, running) == (["o2", "o3"], ["o1"])
    assert counts == {("order", "running"): 1, ("order", "queued"): 3}
