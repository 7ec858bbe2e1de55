"""kill -9 of real processes in the middle of their jobs, on SQLite and on Postgres."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from junctor.core.storage.database import Database
from tests.fakes.postgres import postgres, program

CHILD = """
import asyncio, sys
from junctor.conf.settings import Jobs as Section, Settings, Storage
from junctor.core.jobs import Jobs
from junctor.core.storage.database import Database

async def work(job, progress):
    for name in ("one", "two", "three"):
        async def do(name=name):
            print("step", job.id, name, flush=True)
            if job.payload["hang"] == name and job.attempts == 1:
                await asyncio.Event().wait()
            return f"{name}-{job.payload['n']}"
        await progress.step(name, do)
    return {"n": job.payload["n"]}

async def main(folder, url, hang, count):
    settings = Settings(
        storage=Storage(data_dir=folder, database_url=url), jobs=Section(poll_interval=0.05)
    )
    database = Database(url)
    await database.upgrade()
    jobs = Jobs(lambda: settings)
    jobs.register("test", work)
    await jobs.open(database)
    for n in range(int(count)):
        await jobs.submit("test", team="acme", payload={"n": n, "hang": hang})
    print("open", flush=True)
    while not all(job.is_over for job in await jobs.list("acme")):
        await asyncio.sleep(0.02)
    for job in await jobs.list("acme"):
        print("over", job.id, job.state, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""

pytestmark = pytest.mark.slow

Line = tuple[str, ...]


@contextmanager
def child(
    folder: Path, url: str, *, hang: str = "", count: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """Run a process with jobs; it is killed at the end."""
    arguments = [str(folder), url, hang, str(count)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str], until: str) -> list[Line]:
    """Return the lines up to one that begins so."""
    lines: list[Line] = []
    while not lines or not " ".join(lines[-1]).startswith(until):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the process has died"
        lines.append(tuple(line.split()))
    return lines


def steps(lines: list[Line]) -> list[str]:
    return [line[2] for line in lines if line[0] == "step"]


def rows(url: str) -> list[tuple[object, ...]]:
    async def read() -> list[tuple[object, ...]]:
        database = Database(url)
        try:
            return await database.fetch("SELECT state, attempts, result FROM jobs ORDER BY id")
        finally:
            await database.close()

    return asyncio.run(read())


def test_kill_in_a_step(tmp_path: Path) -> None:
    """The step that had finished is not repeated, the one that was interrupted starts over."""
    url = f"sqlite:///{tmp_path}/junctor.db"
    with child(tmp_path, url, hang="two", count=1) as process:
        while steps(before := said(process, "step"))[-1:] != ["two"]:
            pass
    with child(tmp_path, url) as process:
        after = said(process, "over")

    assert (before[-1][2], steps(after)) == ("two", ["two", "three"])
    assert rows(url) == [("done", 2, '{"n":0}')]


@pytest.mark.parametrize("after", [1, 20])
def test_kill_at_any_moment(tmp_path: Path, after: int) -> None:
    """Of many jobs none is lost, and only steps under way are repeated."""
    url = f"sqlite:///{tmp_path}/junctor.db"
    done: list[Line] = []
    with child(tmp_path, url, count=15) as process:
        for _ in range(after):
            done += said(process, "step")
    with child(tmp_path, url) as process:
        done += said(process, "over")
        done += [line for _ in range(14) for line in said(process, "over")]
    taken = [line[1:] for line in done if line[0] == "step"]

    assert [row[0] for row in rows(url)] == ["done"] * 15
    assert len(set(taken)) == 45
    assert len(taken) <= 45 + 4  # four were under way


def test_kill_before_dbos_knows(tmp_path: Path) -> None:
    """A job is durable when it is accepted, before anything else has heard of it."""
    url = f"sqlite:///{tmp_path}/junctor.db"
    with child(tmp_path, url, count=3) as process:
        said(process, "open")
    with child(tmp_path, url) as process:
        for _ in range(3):
            said(process, "over")

    assert [row[0] for row in rows(url)] == ["done"] * 3


@pytest.mark.tools
def test_two_workers_one_killed(tmp_path: Path) -> None:
    """On Postgres a living process goes on with what the killed one was doing, and only then."""
    if program("initdb") is None and not os.environ.get("CI"):
        pytest.skip("Postgres is not installed (in CI this would be a failure)")
    with postgres() as url, child(tmp_path / "a", url, hang="two", count=1) as first:
        while steps(before := said(first, "step"))[-1:] != ["two"]:
            pass
        with child(tmp_path / "b", url) as second:
            said(second, "open")
            time.sleep(3)  # several looks for the dead: the first is alive and keeps its job
            alive = rows(url)
            first.kill()
            after = said(second, "over")
            ended = rows(url)

    assert (alive, ended) == ([("running", 1, None)], [("done", 2, '{"n":0}')])
    assert (before[-1][2], steps(after)) == ("two", ["two", "three"])
