"""
Any other junctor, by its URL: videos are made there as jobs, and the files brought here.

It speaks `/api/ltx23/v1` as `junctor.contracts.ltx_video` has it, so that whatever else serves that
contract will do too; what is an addition of ours, cancellation and progress, it may do without.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.errors import NotConfiguredError
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.junctor.provider import Junctor
from junctor.plugins.remote.junctor.settings import NAME, JunctorSettings
from junctor.plugins.remote.vendor import ready

__all__ = ("Junctor", "JunctorSettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Junctor]:
    """Return the provider when `[plugins.junctor]` has a URL and a key."""
    table = plugin_settings(settings, NAME, JunctorSettings)
    if not table.base_url:
        raise NotConfiguredError(f"no server: set `base_url` in [plugins.{NAME}]")
    ready(table, NAME)
    return [Junctor(table, settings.network)]
