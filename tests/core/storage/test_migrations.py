import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import create_engine

from junctor.core.storage.database import Database
from junctor.core.storage.entries import Entry
from junctor.core.storage.jobs import DeliveryRow, JobRow
from junctor.core.storage.keys import KeyRow
from junctor.core.storage.schema import HEAD, REVISIONS
from junctor.core.storage.tables import ApiKey, DeliveryRecord, JobRecord, LedgerEntry, Table
from junctor.core.storage.upgrade import run_alembic


def by_alembic(path: Path) -> None:
    run_alembic(f"sqlite+aiosqlite:///{path}")


def by_snapshot(path: Path) -> None:
    async def make() -> None:
        database = Database(f"sqlite:///{path}")
        await database.upgrade()
        await database.close()

    asyncio.run(make())


def schema(path: Path) -> dict[str, str]:
    """Return the statement behind each table and index, white space apart."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: " ".join(sql.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split())
        for name, sql in rows
    }


@pytest.mark.parametrize("make", [by_alembic, by_snapshot])
def test_equal_to_tables(make: Callable[[Path], None], tmp_path: Path) -> None:
    """The tables as declared are the tables as they are made, both ways."""
    make(tmp_path / "a.db")
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, Table.metadata)
    engine.dispose()

    assert difference == []


def test_snapshot_equals_migrations(tmp_path: Path) -> None:
    """A fresh SQLite file has exactly what Alembic would have made."""
    by_alembic(tmp_path / "a.db")
    by_snapshot(tmp_path / "b.db")

    assert schema(tmp_path / "a.db") == schema(tmp_path / "b.db")


def test_revisions_are_those_in_the_folder() -> None:
    """The list that the server reads without Alembic names each revision, in order."""
    config = Config()
    config.set_main_option("script_location", "junctor.core.storage:migrations")
    script = ScriptDirectory.from_config(config)
    found = tuple(r.revision for r in script.walk_revisions())[::-1]

    assert (found, script.get_current_head()) == (REVISIONS, HEAD)


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (KeyRow, ApiKey),
        (Entry, LedgerEntry),
        (JobRow, JobRecord),
        (DeliveryRow, DeliveryRecord),
    ],
)
def test_rows_name_the_columns(row: type[Struct], table: type[Table]) -> None:
    """The rows that statements speak of have the columns of the tables, in order."""
    assert list(row.__struct_fields__) == list(table.model_fields)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_upgrade_from_an_older_one(revision: str, tmp_path: Path) -> None:
    """A file that an older version made comes to the newest schema when a server starts on it."""
    run_alembic(f"sqlite+aiosqlite:///{tmp_path}/a.db", revision)
    by_snapshot(tmp_path / "a.db")
    by_snapshot(tmp_path / "b.db")

    assert schema(tmp_path / "a.db") == schema(tmp_path / "b.db")


def test_older_rows_stay(tmp_path: Path) -> None:
    """What was in the ledger before there were tokens is there after, and served none."""
    run_alembic(f"sqlite+aiosqlite:///{tmp_path}/a.db", "0003")
    values = ("id", "r", "acme", "k", "openai", "transcribe", "m", "p", "audio_seconds")
    with closing(sqlite3.connect(tmp_path / "a.db")) as db, db:
        row = (*values, 32_000, 16_000, 2.0, 5, 1, "ok", 1, 2)
        db.execute(f"INSERT INTO ledger_entries VALUES ({', '.join('?' * 17)})", row)
    by_snapshot(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        found = db.execute("SELECT * FROM ledger_entries").fetchall()

    assert found == [(*row, 0, 0)]
