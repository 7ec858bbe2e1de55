"""OpenAI, and any server that speaks its API: transcription, translation, chat."""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.errors import NotConfiguredError
from junctor.core.hooks import hookimpl
from junctor.core.net import Pool
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import NAME, OpenAISettings, checked

__all__ = ("OpenAIProvider", "OpenAISettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[OpenAIProvider]:
    """Return one provider per `[plugins.openai.providers.<name>]`, all over one pool."""
    table = plugin_settings(settings, NAME, OpenAISettings)
    ready = {name: checked(name, one) for name, one in table.providers.items() if one.is_usable}
    if not ready:
        name = next(iter(table.providers), NAME)
        raise NotConfiguredError(
            f"no credentials: set `api_key` in [plugins.{NAME}.providers.{name}], or `keyless = "
            "true` for a server that wants none"
        )
    pool = Pool(table.pool_limits())
    return [OpenAIProvider(name, one, pool) for name, one in ready.items()]
