"""What DBOS is told, and what it makes of it."""

import asyncio
import shutil
from pathlib import Path

import psycopg
import pytest

from junctor.core.jobs.durable import Durable
from junctor.core.jobs.liveness import Liveness
from junctor.core.jobs.steps import Steps
from tests.waiting import until


async def test_jobs_of_others_come_again(tmp_path: Path, template: Path) -> None:
    """What a run hands back takes no place in the queue, and is queued again after a while."""
    runs: list[str] = []

    async def run(id_: str, _steps: Steps) -> bool:
        runs.append(id_)
        return runs.count(id_) > 1

    shutil.copy(template, tmp_path)
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    durable = Durable(url, run=run, loop=asyncio.get_running_loop(), held=0.0)
    await asyncio.to_thread(durable.launch, {"narrow": 1}, poll_interval=0.02)
    await asyncio.to_thread(durable.enqueue, [("alien", "narrow", 0), ("ours", "narrow", 0)])
    await until(lambda: set(runs) == {"alien", "ours"})
    while runs.count("alien") < 2:
        await asyncio.to_thread(durable.reap)
        await asyncio.sleep(0.01)
    await asyncio.to_thread(durable.close)

    assert runs[0] == "alien"


@pytest.mark.tools
async def test_the_living_keep_their_jobs(postgres_url: str) -> None:
    """A process that lost its lock, as when Postgres restarts, has it again before it is missed twice."""
    runs: list[str] = []
    go = asyncio.Event()

    async def run(id_: str, _steps: Steps) -> bool:
        runs.append(id_)
        await go.wait()
        return True

    url = postgres_url.replace("+asyncpg", "")
    durable, other = Durable(url, run=run, loop=asyncio.get_running_loop()), Liveness(url)
    await asyncio.to_thread(durable.launch, {"alive": 1}, poll_interval=0.02, works_on=["alive"])
    await asyncio.to_thread(durable.enqueue, [("job_alive", "alive", 0)])
    await until(lambda: runs)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            "UPDATE dbos.workflow_status SET executor_id = 'o' WHERE workflow_uuid = 'job_alive'"
        )
        for _ in range(2):
            await asyncio.to_thread(durable.reap)
            await asyncio.to_thread(other.hold, "o")
            await asyncio.to_thread(durable.reap)
            other.close()
        sql = "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = 'job_alive'"
        status = server.execute(sql).fetchone()
        for _ in range(2):
            await asyncio.to_thread(durable.reap)
        gone = server.execute(sql).fetchone()
    go.set()
    await asyncio.to_thread(durable.close)

    assert (("PENDING",), True) == (status, ("PENDING",) != gone or len(runs) > 1)
