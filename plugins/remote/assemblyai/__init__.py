"""
AssemblyAI: recordings as jobs (upload, poll, delete), live speech over its v3 socket.

Facts: its published OpenAPI and AsyncAPI documents (March 2026), its Python SDK 1.8.2 and its
documentation, read in November 2026. Never tried against the live service.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.assemblyai.cards import NAME
from junctor.plugins.remote.assemblyai.provider import AssemblyAI, AssemblyAISettings
from junctor.plugins.remote.vendor import ready

__all__ = ("AssemblyAI", "AssemblyAISettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[AssemblyAI]:
    """Return the provider when `[plugins.assemblyai]` has a key."""
    table = plugin_settings(settings, NAME, AssemblyAISettings)
    ready(table, NAME)
    return [AssemblyAI(table)]
