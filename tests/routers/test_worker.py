"""`junctor worker` and its like as real processes, beside a server's jobs on a real Postgres."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from junctor.conf.settings import Jobs as Section
from junctor.conf.settings import Settings, Storage
from junctor.core.errors import ConfigError
from junctor.core.jobs import Job, Jobs, JobState, Progress
from junctor.core.storage.database import Database
from junctor.core.storage.folder import FolderLock
from junctor.core.storage.jobs import JobRow, JobTable
from junctor.routers.worker import work
from tests.fakes.postgres import postgres, program

CHILD = """
import asyncio, sys
from pathlib import Path
from junctor.conf.loader import load
from junctor.core.jobs import Progress
from junctor.routers.composition import compose
from junctor.routers.worker import work_on_jobs

async def do(job, progress):
    print("begun", job.id, flush=True)
    if job.payload["hang"] == sys.argv[2]:
        await asyncio.Event().wait()
    return {"by": sys.argv[2]}

settings = load(Path(sys.argv[1]), {})
runtime = compose(settings, queues=["video"])
runtime.jobs.register("test", do)
asyncio.run(work_on_jobs(runtime, lambda now: None, lambda: print("open", flush=True)))
"""
CONFIG = """
[storage]
data_dir = '{folder}'
database_url = '{url}'
[loader]
allow = []
[jobs]
poll_interval = 0.05
[server]
shutdown_grace = 0.2
"""

pytestmark = [pytest.mark.slow, pytest.mark.tools]


async def left(_job: Job, _progress: Progress) -> dict[str, object]:
    raise AssertionError


@pytest.fixture(name="url", scope="module")
def _url() -> Iterator[str]:
    if program("initdb") is None and not os.environ.get("CI"):
        pytest.skip("Postgres is not installed (in CI this would be a failure)")
    with postgres() as url:
        yield url


@pytest.fixture(name="database")
async def _database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="jobs")
async def _jobs(url: str, database: Database, tmp_path: Path) -> AsyncIterator[Jobs]:
    """Jobs of a server that works on none."""
    settings = Settings(
        storage=Storage(data_dir=str(tmp_path / "server"), database_url=url),
        jobs=Section(poll_interval=0.05, work=()),
    )
    jobs = Jobs(lambda: settings)
    jobs.register("test", left)
    await jobs.open(database)
    yield jobs
    await jobs.close()


def config(folder: Path, url: str) -> str:
    folder.mkdir()
    path = folder / "junctor.toml"
    path.write_text(CONFIG.format(folder=folder / "data", url=url), "utf-8")
    return str(path)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python process; it is killed at the end."""
    environ = {key: value for key, value in os.environ.items() if "JUNCTOR" not in key}
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environ,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


async def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return (await asyncio.to_thread(child.stdout.readline)).strip()


async def over(jobs: Jobs, job: Job) -> Job:
    while not job.is_over:
        await asyncio.sleep(0.02)
        job = await jobs.get(job.id, team=job.team)
    return job


async def test_workers_take_over(jobs: Jobs, url: str, tmp_path: Path) -> None:
    """What a killed worker was doing the next one does, and so what one put back at its end."""
    paths = {name: config(tmp_path / name, url) for name in "abc"}
    alone = await jobs.submit("test", team="acme", payload={}, queue="default")
    with process("-c", CHILD, paths["a"], "a") as first:
        await line(first)
        job = await jobs.submit("test", team="acme", payload={"hang": "a"}, queue="video")
        begun = await line(first)
        with process("-c", CHILD, paths["b"], "b") as second:
            await line(second)
            first.kill()
            killed = await over(jobs, job)
            job = await jobs.submit("test", team="acme", payload={"hang": "b"}, queue="video")
            while await line(second) != f"begun {job.id}":
                pass
            second.send_signal(signal.SIGTERM)
            ended = await asyncio.to_thread(second.wait)
            waits = await jobs.get(job.id, team="acme")
    with process("-c", CHILD, paths["c"], "c"):
        handed = await over(jobs, job)
    alone = await jobs.cancel(alone.id, team="acme")

    assert begun == f"begun {killed.id}"
    assert (killed.result, killed.attempts) == ({"by": "b"}, 2)
    assert (ended, waits.state, waits.attempts) == (0, JobState.QUEUED, 0)
    assert (handed.result, handed.attempts) == ({"by": "c"}, 1)
    assert (alone.state, alone.attempts) == (JobState.CANCELED, 0)


async def test_command(database: Database, url: str, tmp_path: Path) -> None:
    """It says what it works on, does that and nothing else, and ends in order."""
    table = JobTable(database)
    path = config(tmp_path / "w", url)
    for queue in ("video", "default"):
        row = JobRow(
            id=f"job_{queue}", team="cli", kind="transcription", queue=queue, priority=0,
            payload="{}", digest="", created_at=1,
        )  # fmt: skip
        await table.add(row)
    with process("-m", "junctor.routers.cli", "worker", "--config", path, "--queue", "video") as it:
        said = await line(it)
        while (await table.states(["job_video"]))["job_video"] == "queued":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
        it.send_signal(signal.SIGTERM)
        end = await asyncio.to_thread(it.wait)
    states = await table.states(["job_video", "job_default"])
    await table.finish("job_default", state="canceled", at=1)

    assert (said, end) == ("junctor works on video", 0)
    assert states == {"job_video": "failed", "job_default": "queued"}  # no payload of this kind


@pytest.mark.parametrize(
    ("url", "queues", "reason"),
    [
        ("", [], "an SQLite file belongs to one process"),
        ("postgresql+asyncpg://nobody@/nowhere", [], "--queue"),
    ],
)
def test_refusals(url: str, queues: list[str], reason: str) -> None:
    """A worker that could do nothing does not start."""
    settings = Settings(storage=Storage(database_url=url), jobs=Section(work=()))
    with pytest.raises(ConfigError, match=reason):
        work(settings, queues=queues, prepare=lambda _now: pytest.fail("no signal was sent"))


@pytest.mark.parametrize(
    ("queue", "reason"), [("gpu", "jobs.queues.gpu"), ("video", "a data folder of its own")]
)
def test_refusals_of_the_command(url: str, tmp_path: Path, queue: str, reason: str) -> None:
    """An unknown queue is a mistake, and so is the data folder of a server that runs."""
    path = config(tmp_path / "w", url)
    command = [sys.executable, "-m", "junctor.routers.cli", "worker", "--config", path]
    with FolderLock(tmp_path / "w" / "data"):
        done = subprocess.run(
            [*command, "--queue", queue], capture_output=True, text=True, check=False
        )

    assert (done.returncode, reason in done.stderr, done.stdout) == (2, True, "")
