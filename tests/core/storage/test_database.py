import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from junctor.conf.settings import Storage
from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.storage.database import Database, database_url
from junctor.core.storage.keys import KeyRow, KeyTable
from tests.fakes.databases import folder_instead, gone, read_only

KEY = KeyRow("id", "abcdefgh", "digest", "team", "jn", 1)


async def test_rows_come_back(database: Database) -> None:
    """What was written is read."""
    await KeyTable(database).add(KEY)

    assert await KeyTable(database).find("abcdefgh") == KEY


async def test_all_or_none(database: Database) -> None:
    """Statements of several kinds are one transaction: what fails half-way was never begun."""
    sql = "INSERT INTO artefact_chunks (artefact, number, data) VALUES (:id, 0, :data)"

    async def statements(*ids: str) -> AsyncIterator[tuple[str, dict[str, object]]]:
        for one in ids:
            yield sql, {"id": one, "data": one.encode()}
        yield "UPDATE artefact_chunks SET number = 1", {}

    await database.write_all(statements("a", "b"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write_all(statements("c", "c"))
    found = await database.fetch("SELECT artefact, number, data FROM artefact_chunks")

    assert (found, database.is_shared) == ([("a", 1, b"a"), ("b", 1, b"b")], False)


async def test_upgrade_twice(database: Database) -> None:
    """An upgrade of a database that is there already changes nothing."""
    await KeyTable(database).add(KEY)

    await database.upgrade()

    assert await KeyTable(database).all() == [KEY]


async def test_upgrade_at_once(path: Path) -> None:
    """Several processes may upgrade one fresh file at the same time."""
    databases = [Database(f"sqlite:///{path}") for _ in range(4)]
    await asyncio.gather(*(database.upgrade() for database in databases))
    found = [await KeyTable(database).all() for database in databases]
    for database in databases:
        await database.close()

    assert found == [[]] * 4


def test_start_is_light(path: Path) -> None:
    """A start on a fresh file and on one that is up to date imports no SQLAlchemy and no Alembic."""
    code = (
        "import asyncio, sys\n"
        "from junctor.core.storage.database import Database\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        database = Database(sys.argv[1])\n"
        "        await database.upgrade()\n"
        "        await database.close()\n"
        "asyncio.run(main())\n"
        "print([m for m in ('alembic', 'sqlalchemy', 'sqlmodel', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"


async def test_newer_revision(database: Database, path: Path) -> None:
    """A database that a newer junctor made is refused, and the message says so."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigError, match=r"'9999'.*newer junctor"):
        await database.upgrade()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name", "postgresql://host/name", "x"]
)
def test_url_of_no_known_kind(url: str) -> None:
    """A URL that cannot work is refused before anything is opened."""
    with pytest.raises(ConfigError, match=r"^storage\.database_url: "):
        Database(url)


def test_url_in_data_folder(tmp_path: Path) -> None:
    """Without a URL the database is a file in the data folder."""
    assert database_url(Storage(data_dir=str(tmp_path))) == f"sqlite:///{tmp_path}/junctor.db"


def test_url_as_given() -> None:
    """A URL in the settings is taken as it is."""
    url = "postgresql+asyncpg://host/name"

    assert database_url(Storage(database_url=url)) == url


async def test_folder_in_place_of_file(path: Path) -> None:
    """A path that cannot be a database stops the start, naming the path."""
    database = Database(f"sqlite:///{path}")

    with folder_instead(path), pytest.raises(ConfigError, match=r"junctor\.db"):
        await database.upgrade()

    await database.close()


async def test_gone_while_open(database: Database, path: Path) -> None:
    """A file that is away is an overload, never made anew, and works when it is back."""
    await KeyTable(database).add(KEY)
    with gone(path), pytest.raises(OverloadedError, match="cannot be used at the moment"):
        await KeyTable(database).all()

    assert await KeyTable(database).all() == [KEY]


async def test_replaced_while_open(database: Database, path: Path, tmp_path: Path) -> None:
    """A file put in the place of the one that was open is the one that is read."""
    other = Database(f"sqlite:///{tmp_path}/other.db")
    await other.upgrade()
    await KeyTable(other).add(KEY)
    await other.close()
    await KeyTable(database).all()

    (tmp_path / "other.db").replace(path)

    assert await KeyTable(database).all() == [KEY]


async def test_not_a_database(database: Database, path: Path) -> None:
    """A file of garbage is an overload, not a crash."""
    other = path.with_name("garbage")
    other.write_bytes(b"garbage" * 1000)
    other.replace(path)

    with pytest.raises(OverloadedError):
        await KeyTable(database).all()


async def test_read_only(database: Database, path: Path) -> None:
    """A file that may not be written is still read."""
    await KeyTable(database).add(KEY)
    await database.close()
    with read_only(path):
        with pytest.raises(OverloadedError):
            await KeyTable(database).set_revoked("abcdefgh", 1)
        found = await KeyTable(database).all()

    assert found == [KEY]


async def test_write_is_all_or_nothing(database: Database) -> None:
    """When one row of a write fails, none of them stays."""
    sql = "INSERT INTO alembic_version (version_num) VALUES (:v)"

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(sql, [{"v": "a"}, {"v": None}])

    assert (
        await database.fetch("SELECT version_num FROM alembic_version WHERE version_num='a'") == []
    )


async def test_taken_prefix(database: Database) -> None:
    """A key whose prefix is taken is not added."""
    await KeyTable(database).add(KEY)

    assert not await KeyTable(database).add(KeyRow("2", "abcdefgh", "other", "team", "jn", 2))


async def test_close_twice(database: Database) -> None:
    """Closing again does nothing."""
    await database.close()
    await database.close()
