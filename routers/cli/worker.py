"""`junctor worker`: work on jobs, without a port."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option, load_settings

if TYPE_CHECKING:
    from junctor.conf.reload import Reload
    from junctor.conf.settings import Settings


@click.command
@config_option
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Queue to work on, instead of those of jobs.work; as often as need be.",
)
def worker(path: Path | None, queues: tuple[str, ...]) -> None:
    """
    Work on the jobs of servers that share a Postgres, until interrupted.

    It has a data folder of its own. SIGHUP reads the configuration again. At SIGTERM a running
    job gets server.shutdown_grace to end; then it is left to other workers.
    """
    from junctor.conf.reload import prepare
    from junctor.routers.worker import work

    def prepare_reload(current: "Settings") -> "Reload":
        return prepare(path, os.environ, current=current)

    work(load_settings(path), queues=queues, prepare=prepare_reload, announce=click.echo)
