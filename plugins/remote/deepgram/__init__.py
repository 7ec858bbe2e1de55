"""
Deepgram: Nova for recordings and for live speech, Flux for live conversations.

The facts are those of its documentation (developers.deepgram.com) and of its published OpenAPI and
AsyncAPI documents of 2026-07-22, read in November 2026. Errors come as JSON of two shapes or as
plain text; the HTTP status alone tells them apart.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.deepgram.cards import CARDS, NAME
from junctor.plugins.remote.deepgram.provider import Deepgram
from junctor.plugins.remote.vendor import VendorSettings

__all__ = ("CARDS", "Deepgram", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Deepgram]:
    """Return Deepgram, if its table has a key."""
    return [Deepgram(plugin_settings(settings, NAME, VendorSettings))]
