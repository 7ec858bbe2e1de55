"""`junctor callbacks`: what receivers of callbacks need to know."""

from pathlib import Path

import rich_click as click

from junctor.routers.cli.options import config_option, load_settings


@click.group
def callbacks() -> None:
    """Look after the deliveries of finished jobs."""


@callbacks.command
@click.option("--team", default="", help="The team whose deliveries are verified.")
@config_option
def secret(team: str, path: Path | None) -> None:
    """Print the secret that signs callbacks, alone on standard output; made when there is none."""
    from junctor.core.callbacks import secret_of
    from junctor.core.storage.database import data_folder

    settings = load_settings(path)
    folder = data_folder(settings.storage)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    click.echo(secret_of(settings, folder, team=team))
