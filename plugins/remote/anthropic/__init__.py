"""
Anthropic: Claude, which chats, and corrects what other providers heard; it has no ears.

Its Messages API takes text and pictures, no audio. Facts: platform.claude.com/docs (models and what
is new in each, thinking, effort, streaming, tool use, structured outputs, errors, versioning) and
the types of the vendor's Python SDK 2.11.0, read in November 2026.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.anthropic.provider import Anthropic
from junctor.plugins.remote.anthropic.settings import NAME, AnthropicSettings
from junctor.plugins.remote.vendor import ready

__all__ = ("Anthropic", "AnthropicSettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Anthropic]:
    """Return the provider, where a key is set."""
    table = plugin_settings(settings, NAME, AnthropicSettings)
    ready(table, NAME)
    return [Anthropic(table)]
