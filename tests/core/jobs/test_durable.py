"""What DBOS is told, and what it makes of it."""

import asyncio
import shutil
from pathlib import Path

from junctor.core.jobs.durable import Durable
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
