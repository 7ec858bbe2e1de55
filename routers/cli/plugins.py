"""`junctor plugins`: what is installed, what serves, and why the rest does not."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.routers.cli.options import config_option, json_option, load_settings
from junctor.routers.cli.output import print_json, print_table

if TYPE_CHECKING:
    from junctor.core.plugin_status import PluginStatus


@click.command
@json_option
@config_option
def plugins(path: Path | None, *, as_json: bool) -> None:
    """List the plugins, failed ones too; nothing is started, so start() is not tried."""
    from junctor.routers.cli.offering import offer_of

    statuses = offer_of(load_settings(path)).statuses
    if as_json:
        print_json({"plugins": [_as_json(status) for status in statuses]})
        return
    columns = ("plugin", "distribution", "status", "models", "reason")
    print_table(columns, (_row(status) for status in statuses))


def _as_json(status: "PluginStatus") -> dict[str, object]:
    return {
        "name": status.name,
        "distribution": status.distribution,
        "version": status.version,
        "status": status.status.value,
        "stage": status.stage.value if status.stage else None,
        "reason": status.reason,
        "providers": status.providers,
        "models": status.models,
    }


def _row(status: "PluginStatus") -> tuple[str, ...]:
    package = f"{status.distribution} {status.version}".strip()
    return (status.name, package, status.status, ", ".join(status.models), status.reason)
