"""The plugin's table."""

from junctor.conf.settings import Count
from junctor.plugins.remote.vendor import VendorSettings

NAME = "anthropic"


class AnthropicSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.anthropic]`."""

    max_tokens: Count = 16_000
    """Longest answer to a revision, tokens; only corrected segments are in it."""
    chat_max_tokens: Count = 32_000
    """Longest answer of a chat that names no bound itself, tokens; what is thought counts, too."""
