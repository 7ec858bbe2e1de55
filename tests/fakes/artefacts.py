"""What tests of stored content look at: all that is really there, in files and in the database."""

import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from junctor.core.errors import NotFoundError
from junctor.core.storage.database import Database

TABLES = "api_keys, artefacts, artefact_chunks, deliveries, idempotency_keys, jobs"


def contents(folder: Path) -> list[Path]:
    """Return the files of a folder that is one's own."""
    return [path for path in folder.iterdir() if path.name != "store"]


def until_only(folder: Path, number: int) -> None:
    """Wait until no more files than that are left."""
    while len(contents(folder)) > number:
        time.sleep(0.01)


async def left(folder: Path, database: Database) -> int:
    """Return of how many artefacts there is content anywhere."""
    sql = "SELECT COUNT(DISTINCT artefact) FROM artefact_chunks"
    return len(contents(folder)) + int(str((await database.fetch(sql))[0][0]))


async def missing(wait: Awaitable[object]) -> None:
    """Check that it says there is no such thing."""
    with pytest.raises(NotFoundError, match="no such stored object"):
        await wait


async def emptied(url: str) -> Database:
    """Return a shared Postgres without rows of others' tests; to be closed."""
    database = Database(url)
    await database.upgrade()
    await database.write(f"TRUNCATE {TABLES}", [{}])
    return database
