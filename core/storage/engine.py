"""Postgres through SQLAlchemy's async engine; imported only where such a URL is configured."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.storage.upgrade import run_alembic

CONNECT_SECONDS = 5.0
"""Longest wait for a connection to the server, and for a free one of the pool."""


class EngineDriver:
    """The database behind a SQLAlchemy URL; its password is in no message of ours."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._engine = create_async_engine(
                url,
                pool_size=4,
                max_overflow=0,
                pool_pre_ping=True,
                pool_timeout=CONNECT_SECONDS,
                hide_parameters=True,
                connect_args={"timeout": CONNECT_SECONDS},
            )
        except (SQLAlchemyError, ImportError, ValueError) as exc:
            raise ConfigError(
                "the URL cannot be used: expected 'postgresql+asyncpg://user:password@host/name' "
                f"and the extra 'junctor[cluster]' ({type(exc).__name__}).",
                key="storage.database_url",
            ) from exc

        # BEGIN and COMMIT around a single statement would be two more ways to the server and back.
        self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def fetch(self, sql: str, parameters: Mapping[str, object]) -> list[tuple[object, ...]]:
        """Return the rows of one SELECT."""
        async with self._begin(self._single) as connection:
            return [tuple(row) for row in await connection.execute(text(sql), parameters)]

    async def write(self, sql: str, rows: Sequence[Mapping[str, object]]) -> int:
        """Run one statement for each of `rows` in one transaction; return the rows changed."""
        is_single = len(rows) == 1
        async with self._begin(self._single if is_single else self._engine) as connection:
            # A list makes asyncpg run many statements at once, and then it counts no rows.
            parameters = rows[0] if is_single else rows
            return (await connection.execute(text(sql), parameters)).rowcount

    async def write_all(self, statements: AsyncIterable[tuple[str, Mapping[str, object]]]) -> None:
        """Run statements as they come, all of them in one transaction."""
        async with self._begin(self._engine) as connection:
            async for sql, parameters in statements:
                await connection.execute(text(sql), parameters)

    async def revision(self) -> str | None:
        """Return the revision of the schema, None when there is none yet."""
        found = await self.fetch("SELECT to_regclass('alembic_version') IS NOT NULL", {})
        if not found[0][0]:
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version", {})
        return str(rows[0][0]) if rows else None

    def migrate(self) -> None:
        """Run Alembic; an advisory lock lets one process at a time do it."""
        run_alembic(self._url)

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as exc:
            raise OverloadedError(
                "The database cannot be used at the moment. Try again shortly."
            ) from exc
