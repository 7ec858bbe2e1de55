"""Run the migrations over an async engine; Alembic executes this module."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from junctor.core.storage.tables import Table

LOCK = 0x6A756E63
"""Key of the Postgres advisory lock that lets one process at a time migrate."""


def migrate(connection: Connection) -> None:
    """Bring the database behind `connection` to the wanted revision, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


async def run() -> None:
    """Connect to the URL that `junctor.core.storage.upgrade` handed over, and migrate."""
    engine = create_async_engine(context.config.attributes["url"], poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(run())
