"""
The whole plugin API.

A plugin is a module (or object) that an installed distribution names under the entry-point group
``junctor``. It implements any of the hooks below with `hookimpl`::

    from junctor.core.hooks import hookimpl

    @hookimpl
    def junctor_providers(settings):
        return [Echo()]

An implementation may take fewer arguments than its specification. A plugin that fails in any way
is listed by `junctor plugins` and `/health` with the reason, and everything else serves.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

from junctor.conf.settings import Settings
from junctor.core.attempts import Attempt
from junctor.core.plans import Plan, Wish
from junctor.core.providers import Provider
from junctor.core.transcripts import Transcript

if TYPE_CHECKING:  # for the annotations only: a plugin author pays for no web framework
    from click import Command
    from litestar.types import ControllerRouterHandler

PROJECT = "junctor"
"""Name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook it is named after."""


@hookspec
def junctor_providers(settings: Settings) -> Iterable[Provider]:  # type: ignore[empty-body]
    """
    Return the providers this plugin offers.

    Called at start-up, and at a reload that changes the plugin's own table or finds a provider of
    it missing, before the first request that can reach them.
    The plugin's own table is `settings.plugins[<name>]`; convert it with
    `junctor.core.plugins.plugin_settings`, which names file and key when it is wrong. Return
    nothing, or raise `NotConfiguredError` with the reason, to sit out (no key is set, say). Do no
    I/O here and import nothing heavy: open things in `Provider.start`.
    """


@hookspec
def junctor_routers(settings: Settings) -> "Iterable[ControllerRouterHandler]":  # type: ignore[empty-body]
    """
    Return litestar handlers, controllers or routers: a plugin may bring a contract of its own.

    Called once, when the application is built. A handler reaches the request's way through the
    dependency ``gateway`` (`junctor.core.gateway.Gateway`). A path that is already taken takes
    the plugin out.
    """


@hookspec
def junctor_commands() -> "Iterable[Command]":  # type: ignore[empty-body]
    """
    Return click commands to add below ``junctor``.

    Called when the command line prints its help or is given a name that is none of its own. A
    command whose name is taken is left out, and a warning says so.
    """


@hookspec
def junctor_plan(plan: Plan, wish: Wish) -> Plan | None:
    """
    Reorder or veto the candidates of a plan; return the new plan, or None to leave it.

    Called for every plan that policy has made, in the order of plugin names, each seeing the
    result of the one before. Candidates may be reordered or left out, never added; an `Exclusion`
    tells why. It must be quick and pure: it runs on the event loop.
    """


@hookspec
def junctor_transcript(transcript: Transcript, wish: Wish) -> Transcript | None:
    """
    Post-process a finished transcript; return the new one, or None to leave it.

    Called once per transcript, whichever provider it came from, before it is rendered, in the
    order of plugin names and on the event loop. The deltas of a stream have gone out by then.
    """


@hookspec
def junctor_attempt(attempt: Attempt) -> None:
    """
    Observe an attempt at a candidate, for metrics and audit.

    Called when it is over, whether it ended well, badly or by a cancel, on the event loop.
    """


SPECS: Sequence[str] = (
    "junctor_providers",
    "junctor_routers",
    "junctor_commands",
    "junctor_plan",
    "junctor_transcript",
    "junctor_attempt",
)
"""The names of all hooks."""
