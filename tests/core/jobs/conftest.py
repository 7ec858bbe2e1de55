"""A database, and jobs over it that are looked for without delay."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from junctor.conf.settings import JobQueue, Settings, Storage
from junctor.conf.settings import Jobs as Section
from junctor.core.jobs import Jobs
from junctor.core.jobs.durable import Durable
from junctor.core.storage.database import Database


@pytest.fixture(name="template", scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of DBOS' as its first start makes it, which takes two seconds."""
    path = tmp_path_factory.mktemp("dbos") / "jobs.sqlite"
    loop = asyncio.new_event_loop()
    durable = Durable(
        f"sqlite:///{path}", run=lambda _id, _steps: asyncio.sleep(0, True), loop=loop
    )
    durable.launch({"default": 4, "video": 1, "narrow": 1}, poll_interval=0.02)
    durable.close()
    loop.close()
    return path


@pytest.fixture(name="settings")
def _settings(tmp_path: Path, template: Path) -> Settings:
    shutil.copy(template, tmp_path)
    return Settings(
        storage=Storage(data_dir=str(tmp_path)),
        jobs=Section(
            poll_interval=0.02, max_unfinished=50, queues={"narrow": JobQueue(concurrency=1)}
        ),
    )


@pytest.fixture(name="database")
async def _database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/junctor.db")
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="jobs")
async def _jobs(settings: Settings) -> AsyncIterator[Jobs]:
    """The test registers its work, and opens them."""
    jobs = Jobs(lambda: settings)
    yield jobs
    await jobs.close()
