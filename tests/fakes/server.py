"""A whole server on a real socket of this machine, with scripted providers behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define
from litestar import Litestar
from msgspec import convert

from junctor.conf.settings import Server, Settings, Storage
from junctor.core.providers import Provider
from junctor.core.runtime import Runtime
from junctor.core.storage.database import Database, database_url
from junctor.core.storage.entries import Entry
from junctor.routers.app import create_app, runtime_of
from junctor.routers.server import listening
from tests.fakes.plugins import Offering, plugins


@define
class Served:
    """A running server, and a key of the team `acme`."""

    url: str
    key: str
    app: Litestar

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def entries(self) -> list[Entry]:
        """Fold the journal and read the ledger as an operator would."""
        await self.runtime.gateway.ledger.fold()
        fields = Entry.__struct_fields__
        database = Database(database_url(self.runtime.settings.storage))
        rows = await database.fetch(f"SELECT {', '.join(fields)} FROM ledger_entries ORDER BY id")
        await database.close()
        return [convert(dict(zip(fields, row, strict=True)), Entry) for row in rows]


def server_settings(folder: Path, **more: Any) -> Settings:
    """Settings of a server on a free port, its data in `folder`."""
    values = {
        "server": Server(port=0, shutdown_grace=1.0),
        "storage": Storage(data_dir=str(folder)),
        "default_model": "fake:one",
        **more,
    }
    return Settings(**values)


@asynccontextmanager
async def serving(settings: Settings, *providers: Provider, **more: Any) -> AsyncIterator[Served]:
    """Serve with these providers, and with further plugins by name."""
    loaded = plugins(settings, fake=Offering(*providers), **more)
    app = create_app(settings, plugins=loaded)
    async with listening(app, settings.server) as url:
        key = await runtime_of(app).gateway.accounts.create_key("acme")
        yield Served(url, key, app)
