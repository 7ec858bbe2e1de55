"""The database: a handful of plain statements over SQLite or Postgres."""

import asyncio
from collections.abc import AsyncIterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from junctor.conf.settings import Storage
from junctor.core.errors import ConfigError
from junctor.core.storage.schema import HEAD, REVISIONS
from junctor.core.storage.sqlite import SqliteDriver

Row = tuple[object, ...]
Parameters = Mapping[str, object]


class Driver(Protocol):
    """What a kind of database must do; `OverloadedError` from any of it means: not now."""

    async def fetch(self, sql: str, parameters: Parameters, /) -> list[Row]:
        """Return the rows of one SELECT."""
        ...

    async def write(self, sql: str, rows: Sequence[Parameters], /) -> int:
        """Run one statement for each of `rows` in one transaction; return the rows changed."""
        ...

    async def write_all(self, statements: AsyncIterable[tuple[str, Parameters]], /) -> None:
        """Run statements as they come, all of them in one transaction."""
        ...

    async def revision(self) -> str | None:
        """Return the revision of the schema, None when there is none yet."""
        ...

    def migrate(self) -> None:
        """Create or upgrade the schema; blocking, it runs in a thread."""
        ...

    async def close(self) -> None:
        """Let go of every connection; idempotent."""
        ...


def data_folder(storage: Storage) -> Path:
    """Return the data folder as an absolute path."""
    return Path(storage.data_dir).expanduser().absolute()


def database_url(storage: Storage) -> str:
    """Return the URL that the settings mean: the one given, or SQLite in the data folder."""
    if storage.database_url:
        return storage.database_url
    return f"sqlite:///{data_folder(storage) / 'junctor.db'}"


class Database:
    """
    Accounts and ledger, durable; nobody on the hot path waits for it.

    `sqlite:///path` is served by the standard library on one thread, since SQLAlchemy costs the
    embedded server 0.3 s of CPU at start; `postgresql+asyncpg://…` by SQLAlchemy's async engine.
    Statements are in the SQL that both speak, with `:name` parameters.

    Raises:
        ConfigError: the URL is of no kind known here.

    """

    def __init__(self, url: str) -> None:
        self._driver = _driver(url)

    @property
    def is_shared(self) -> bool:
        """Whether it is a server that processes on several hosts may have in common."""
        return not isinstance(self._driver, SqliteDriver)

    async def upgrade(self) -> None:
        """
        Bring the schema to the newest revision; a single SELECT when it is there already.

        Raises:
            ConfigError: the database was made by a newer junctor, or its file cannot be used.
            OverloadedError: its server cannot be reached.

        """
        stored = await self._driver.revision()
        if stored == HEAD:
            return
        if stored is not None and stored not in REVISIONS:
            raise ConfigError(
                f"the database is at revision {stored!r}, which this version of junctor does not "
                f"know (newest: {HEAD!r}). Install the newer junctor that made it.",
                key="storage.database_url",
            )
        await asyncio.to_thread(self._driver.migrate)

    async def fetch(self, sql: str, **parameters: object) -> list[Row]:
        """
        Return the rows of one SELECT.

        Raises:
            OverloadedError: the database is gone, locked or broken at the moment.

        """
        return await self._driver.fetch(sql, parameters)

    async def write(self, sql: str, rows: Sequence[Parameters]) -> int:
        """
        Run one statement for each of `rows`, all or none; return how many rows changed.

        Raises:
            OverloadedError: the database is gone, read-only, locked or broken at the moment.

        """
        return await self._driver.write(sql, rows)

    async def write_all(self, statements: AsyncIterable[tuple[str, Parameters]]) -> None:
        """
        Run statements in one transaction, all or none, however this process ends.

        On Postgres each is sent as it comes, and a connection is taken until the last one has;
        SQLite, whose one thread others wait for, collects them before.

        Raises:
            OverloadedError: as in `write`; what `statements` raises, but for OSError, goes on.

        """
        await self._driver.write_all(statements)

    async def close(self) -> None:
        """Let go of every connection; a second call does nothing."""
        await self._driver.close()


def _driver(url: str) -> Driver:
    kind, _, rest = url.partition("://")
    if kind in {"sqlite", "sqlite+aiosqlite"}:
        path = rest.removeprefix("/").partition("?")[0]
        if path in {"", ":memory:"}:
            raise ConfigError(
                "SQLite needs a file, as in 'sqlite:////var/lib/junctor/junctor.db'.",
                key="storage.database_url",
            )
        return SqliteDriver(Path(path).absolute())
    if kind == "postgresql+asyncpg":
        from junctor.core.storage.engine import EngineDriver

        return EngineDriver(url)
    raise ConfigError(
        f"databases of kind {kind!r} are not known; expected 'sqlite:///…' or "
        "'postgresql+asyncpg://…'.",
        key="storage.database_url",
    )
