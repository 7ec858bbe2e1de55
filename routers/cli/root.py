"""`junctor`: the table of commands; each is imported when it is asked for."""

import rich_click as click

from junctor.routers.cli.group import LazyGroup

COMMANDS = {
    "demo": "junctor.routers.cli.demo_command:demo",
    "serve": "junctor.routers.cli.serve:serve",
    "worker": "junctor.routers.cli.worker:worker",
    "keys": "junctor.routers.cli.keys:keys",
    "tokens": "junctor.routers.cli.tokens:tokens",
    "callbacks": "junctor.routers.cli.callbacks:callbacks",
    "models": "junctor.routers.cli.models:models",
    "route": "junctor.routers.cli.route:route",
    "plugins": "junctor.routers.cli.plugins:plugins",
    "config": "junctor.routers.cli.config:config",
    "db": "junctor.routers.cli.db:db",
}
"""Our own commands, in the order of the help page."""


@click.group(cls=LazyGroup, own=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="junctor")
def main() -> None:
    """One server for public speech, language-model and video APIs, in front of any provider."""
