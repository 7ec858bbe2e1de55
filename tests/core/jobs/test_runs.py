"""One process's runs of jobs: interrupted once, and never two of one job."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define, field

from junctor.conf.settings import Settings
from junctor.core.jobs import Job, Progress
from junctor.core.jobs.runs import Runs
from junctor.core.jobs.steps import Steps
from junctor.core.storage.database import Database
from junctor.core.storage.jobs import JobRow, JobTable
from tests.waiting import until

ROW = JobRow(
    id="job_1", team="acme", kind="test", queue="default", priority=0, payload="{}", digest="",
    created_at=1,
)  # fmt: skip


@define
class Lengthy:
    """Work that takes until `go`, and as long to clean up."""

    go: asyncio.Event = field(factory=asyncio.Event)
    seen: list[str] = field(factory=list)

    async def __call__(self, _job: Job, _progress: Progress) -> dict[str, object]:
        self.seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append("cleaning")
            await self.go.wait()
            self.seen.append("clean")
        return {}


@pytest.fixture(name="work")
def _work() -> Lengthy:
    return Lengthy()


@pytest.fixture(name="runs")
async def _runs(database: Database, settings: Settings, work: Lengthy) -> Runs:
    table = JobTable(database)
    await table.add(ROW)
    return Runs(table, {"test": work}, settings=lambda: settings, ended=lambda: None, now=lambda: 1)


def run_of(runs: Runs) -> asyncio.Task[bool]:
    return asyncio.create_task(runs.run(ROW.id, Steps(lambda _: None)))


async def test_interrupted_once(runs: Runs, work: Lengthy, database: Database) -> None:
    """Who looks again for canceled jobs does not break off the cleaning up after one."""
    run = run_of(runs)
    await until(lambda: work.seen)
    await JobTable(database).finish(ROW.id, state="canceled", at=2)
    for _ in range(2):
        await runs.stop_canceled()
        await until(lambda: "cleaning" in work.seen)
    await asyncio.sleep(0)
    work.go.set()
    await asyncio.wait([run])

    assert work.seen == ["begun", "cleaning", "clean"]


async def test_interrupted_while_it_ends(runs: Runs, work: Lengthy, tmp_path: Path) -> None:
    """A second look, while the end of a run is being written, is not taken for a shutdown."""
    run = run_of(runs)
    await until(lambda: work.seen)
    work.go.set()
    with closing(sqlite3.connect(tmp_path / "junctor.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        runs.stop(ROW.id)
        await until(lambda: "clean" in work.seen)
        for _ in range(3):
            await asyncio.sleep(0)
        runs.stop(ROW.id)
        other.execute("ROLLBACK")
    await asyncio.wait([run])

    assert (run.cancelled(), run.result()) == (False, True)


async def test_one_run_at_a_time(runs: Runs, work: Lengthy) -> None:
    """A job that comes again while it is running here is handed back: its run may be the last."""
    run = run_of(runs)
    await until(lambda: work.seen)
    again = run_of(runs)
    await asyncio.wait([again])
    work.go.set()
    await runs.close()
    await asyncio.wait([run])

    assert (again.cancelled(), work.seen.count("begun")) == (False, 1)
