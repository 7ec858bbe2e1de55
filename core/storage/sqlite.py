"""SQLite by the standard library: one thread, one connection, write-ahead log."""

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.storage.schema import HEAD, SNAPSHOT

T = TypeVar("T")

BUSY_SECONDS = 1.0
"""How long a statement waits for another process (a command-line tool) to finish writing."""


class SqliteDriver:
    """
    The database file at `path`.

    The file may go away, come back or be replaced while we run: it is looked at before each use,
    a connection to a file that is no longer there is dropped, and a missing one is never created
    by anything but `migrate`. One thread, so that no second connection keeps the old
    write-ahead log alive beside a new file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="junctor-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    async def fetch(self, sql: str, parameters: Mapping[str, object]) -> list[tuple[object, ...]]:
        """Return the rows of one SELECT."""
        return await self._run(lambda db: db.execute(sql, parameters).fetchall())

    async def write(self, sql: str, rows: Sequence[Mapping[str, object]]) -> int:
        """Run one statement for each of `rows` in one transaction; return the rows changed."""

        def work(db: sqlite3.Connection) -> int:
            with _transaction(db):
                return db.executemany(sql, rows).rowcount

        return await self._run(work)

    async def write_all(self, statements: AsyncIterable[tuple[str, Mapping[str, object]]]) -> None:
        """Collect statements and run them in one transaction."""
        collected = [one async for one in statements]

        def work(db: sqlite3.Connection) -> None:
            with _transaction(db):
                for sql, parameters in collected:
                    db.execute(sql, parameters)

        await self._run(work)

    async def revision(self) -> str | None:
        """Return the revision of the schema, None without one or a file; `ConfigError` if unusable."""
        if not self._path.exists():
            return None
        try:
            return await self._run(_revision)
        except OverloadedError as exc:
            raise ConfigError(
                f"the database {str(self._path)!r} cannot be opened ({exc.__cause__}).",
                key="storage.database_url",
            ) from exc

    def migrate(self) -> None:
        """Create the file with its schema, or upgrade it; one process at a time does it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._path.with_name(f"{self._path.name}.upgrade-lock")):
                self._migrate()
        except (OSError, sqlite3.Error) as exc:
            raise ConfigError(
                f"the database {str(self._path)!r} cannot be created or upgraded ({exc}).",
                key="storage.database_url",
            ) from exc

    def _migrate(self) -> None:
        with closing(_connect(self._path, mode="rwc")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            stored = _revision(db)
            if stored is None:
                with _transaction(db):
                    for statement in SNAPSHOT:
                        db.execute(statement)
        if stored not in {None, HEAD}:
            from junctor.core.storage.upgrade import run_alembic

            run_alembic(f"sqlite+aiosqlite:///{self._path}")

    async def close(self) -> None:
        """Close the connection; a second call does nothing, a later statement opens it again."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._drop)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, work)

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._current())
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise
        except (sqlite3.Error, OSError) as exc:
            self._drop()
            raise OverloadedError(
                "The database cannot be used at the moment. Try again shortly."
            ) from exc

    def _current(self) -> sqlite3.Connection:
        stat = self._path.stat()
        identity = (stat.st_dev, stat.st_ino)
        if self._connection is None or identity != self._identity:
            self._drop()
            self._connection = _connect(self._path, mode="rw")
            self._identity = identity
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _revision(db: sqlite3.Connection) -> str | None:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    if found is None:
        return None
    row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
