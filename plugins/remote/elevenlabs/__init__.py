"""
ElevenLabs: recordings in one request, live speech over its realtime socket.

Facts: its published OpenAPI document (August 2026), its Python SDK 2.78.0 and its documentation,
read in November 2026. Never tried against the live service.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.elevenlabs.cards import NAME
from junctor.plugins.remote.elevenlabs.provider import ElevenLabs, ElevenLabsSettings
from junctor.plugins.remote.vendor import ready

__all__ = ("ElevenLabs", "ElevenLabsSettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[ElevenLabs]:
    """Return the provider when `[plugins.elevenlabs]` has a key."""
    table = plugin_settings(settings, NAME, ElevenLabsSettings)
    ready(table, NAME)
    return [ElevenLabs(table)]
