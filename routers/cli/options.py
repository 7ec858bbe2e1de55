"""Options that several commands share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from junctor.conf.settings import Settings

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file, or a built-in profile: default, gpu, remote, cluster. "
    "Without it JUNCTOR_CONFIG counts, then the profile default.",
)
"""`--config`, passed as `path`."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""`--json`, passed as `as_json`."""


def load_settings(path: Path | None) -> "Settings":
    """Load the settings that `--config` and the environment mean; raises ConfigError."""
    from junctor.conf.loader import load

    return load(path, os.environ)
