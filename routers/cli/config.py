"""`junctor config`: is it right, and what is in effect."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from junctor.core.errors import ConfigError
from junctor.routers.cli.group import complain
from junctor.routers.cli.options import config_option, load_settings

if TYPE_CHECKING:
    from junctor.conf.settings import Settings
    from junctor.core.offers import Offer
    from junctor.core.plugin_status import PluginStatus


@click.group
def config() -> None:
    """Check and show the configuration."""


@config.command
@config_option
def check(path: Path | None) -> None:
    """
    Read everything, tables of plugins included; exit 2 when something is wrong.

    What would serve, only not as hoped (a plugin that cannot be loaded, a model name that nobody
    serves), is told on standard error.
    """
    from junctor.core.plugin_status import State
    from junctor.routers.cli.offering import offer_of

    settings = load_settings(path)
    offer = offer_of(settings)
    failures = [status for status in offer.statuses if status.status is State.FAILED]
    wrong = [status for status in failures if _is_wrong(status, settings)]
    for status in failures:
        complain(f"plugin {status}")
    for warning in _warnings(settings, offer):
        complain(warning)
    if wrong:
        raise ConfigError("The configuration is wrong; see above.")
    click.echo("The configuration is good.")


@config.command
@config_option
def show(path: Path | None) -> None:
    """Print the whole tree that is in effect as TOML; secrets read `***`."""
    from junctor.conf.toml import show as shown

    click.echo(shown(load_settings(path)), nl=False)


def _is_wrong(status: "PluginStatus", settings: "Settings") -> bool:
    from junctor.core.plugin_status import Stage

    return settings.loader.strict or status.stage is Stage.CONFIGURATION


def _warnings(settings: "Settings", offer: "Offer") -> Iterator[str]:
    catalog = offer.catalog(settings.models)
    for name in catalog.chains:
        chain = catalog.resolve(name)
        if not any(one in catalog.cards for one in chain):
            said = "; ".join(f"{one}: {catalog.absence(one)}" for one in chain)
            yield f'models."{name}": nobody serves it ({said})'
    if not catalog.resolve(settings.default_model):
        yield f"default_model: there is no model {settings.default_model!r}"
