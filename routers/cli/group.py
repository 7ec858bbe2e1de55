"""A command group that imports a command when it is asked for, and lets plugins add theirs."""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import cast

import rich_click as click

from junctor.core.errors import ConfigError, JunctorError

_CONFIG_EXIT = 2
_BROUGHT = f"{__name__}.brought"


class LazyGroup(click.RichGroup):
    """
    The root of the command line.

    An error of our tree is printed as one line on standard error; it ends the process with 2 when
    the configuration is wrong, else with 1.

    Args:
        own: our own commands as `module:attribute`, by name.

    """

    def __init__(self, *, own: Mapping[str, str], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._own = own

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name our own commands in their order, then those of plugins."""
        try:
            brought = self._plugin_commands(ctx)
        except ConfigError as error:
            complain(f"the commands of plugins are not shown: {error}")
            brought = {}
        return [*self._own, *brought]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one of our own commands, or look for it among the plugins'."""
        if cmd_name not in self._own:
            return self._plugin_commands(ctx).get(cmd_name)
        module, _, attribute = self._own[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._own[cmd_name]} is no command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; errors on purpose become a line and an exit code."""
        try:
            return super().invoke(ctx)
        except JunctorError as error:
            complain(str(error))
            ctx.exit(_CONFIG_EXIT if isinstance(error, ConfigError) else 1)

    def _plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        known = ctx.meta.get(_BROUGHT)
        if known is None:
            known = ctx.meta[_BROUGHT] = self._found_commands()
        return cast("dict[str, click.Command]", known)

    def _found_commands(self) -> dict[str, click.Command]:
        found: dict[str, click.Command] = {}
        for plugin, command in _brought_commands():
            name = command.name or ""
            if name in self._own or name in found:
                complain(f"plugin {plugin!r} brings a command {name!r}, which there is already")
            else:
                found[name] = command
        return found


def complain(message: str) -> None:
    """Print one line on standard error."""
    click.echo(f"junctor: {' '.join(message.split())}", err=True)


def _brought_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield what strangers' plugins bring; where there are none, nothing of ours is imported."""
    from junctor.core.discovery import PROJECT, find_plugins

    found = find_plugins()
    own = tuple(one.name for one in found if one.distribution == PROJECT)
    if len(own) == len(found):
        return
    for plugin, commands in _asked(own).items():
        for command in commands:
            if _is_usable(command):
                yield plugin, command
            else:
                complain(f"plugin {plugin!r} brings something that is no command")


def _asked(own: tuple[str, ...]) -> "Mapping[str, tuple[click.Command, ...]]":
    import msgspec

    from junctor.conf.loader import load
    from junctor.core.complaints import Complaints
    from junctor.core.plugin_status import State
    from junctor.core.plugins import Plugins

    loader = load(None, os.environ).loader
    loader = msgspec.structs.replace(loader, strict=False, deny=(*loader.deny, *own))
    plugins = Plugins.load(loader, complaints=Complaints(is_quiet=True))
    brought = plugins.commands()
    for status in plugins.statuses:
        if status.status is State.FAILED:
            complain(f"plugin {status}")
    return brought


def _is_usable(command: object) -> bool:
    try:
        return isinstance(command, click.Command) and bool(
            command.name and [command.get_short_help_str()]
        )
    except Exception:  # noqa: BLE001 - plugin boundary, told by the caller
        return False
