"""`junctor serve`: run the server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option

if TYPE_CHECKING:
    from junctor.conf.reload import Reload
    from junctor.conf.settings import Settings


@click.command
@config_option
@click.option("--host", help="Address to listen on, instead of server.host.")
@click.option("--port", type=int, help="Port to listen on, instead of server.port; 0 for any.")
def serve(path: Path | None, host: str | None, port: int | None) -> None:
    """Serve until interrupted; SIGHUP reads the configuration again."""
    from junctor.conf.loader import load
    from junctor.conf.reload import prepare
    from junctor.routers.server import serve as run

    given = {"host": host, "port": port}
    server = {key: value for key, value in given.items() if value is not None}
    overrides: dict[str, object] = {"server": server} if server else {}

    def prepare_reload(current: "Settings") -> "Reload":
        return prepare(path, os.environ, current=current, overrides=overrides)

    run(load(path, os.environ, overrides=overrides), prepare=prepare_reload, announce=click.echo)
