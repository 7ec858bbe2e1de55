"""`junctor db`: the database of accounts and usage."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option, load_settings

if TYPE_CHECKING:
    from junctor.conf.settings import Storage


@click.group
def db() -> None:
    """Look after the database."""


@db.command
@config_option
def upgrade(path: Path | None) -> None:
    """Bring the schema to the newest revision; `serve` does so by itself."""
    import asyncio

    revision = asyncio.run(_upgrade(load_settings(path).storage))
    click.echo(f"The database is at revision {revision}.")


async def _upgrade(storage: "Storage") -> str:
    from junctor.core.storage.database import Database, database_url
    from junctor.core.storage.schema import HEAD

    database = Database(database_url(storage))
    try:
        await database.upgrade()
    finally:
        await database.close()
    return HEAD
