"""
Sarvam AI: speech of India, in 22 of its languages and in Indian English.

Up to 30 seconds are answered at once; longer audio, and telling speakers apart, is a job with its
own storage; speech under way goes over the realtime socket. Facts: docs.sarvam.ai (speech to text,
batch, errors, pricing) and the types of the vendor's Python SDK 0.1.39, read in November 2026.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.sarvam.cards import NAME
from junctor.plugins.remote.sarvam.provider import Sarvam, SarvamSettings
from junctor.plugins.remote.vendor import ready

__all__ = ("Sarvam", "SarvamSettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Sarvam]:
    """Return the provider, where a key is set."""
    table = plugin_settings(settings, NAME, SarvamSettings)
    ready(table, NAME)
    return [Sarvam(table)]
