"""A fresh SQLite database for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from junctor.core.storage.database import Database


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "junctor.db"


@pytest.fixture(name="database")
async def _database(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{path}")
    await database.upgrade()
    yield database
    await database.close()
