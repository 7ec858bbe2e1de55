"""
Amazon Transcribe: jobs over S3, and live speech over its WebSocket.

Facts: the service model in botocore 1.44 and the developer guide, as of November 2026.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.aws.provider import Amazon
from junctor.plugins.remote.aws.settings import NAME, AWSSettings, checked

__all__ = ("AWSSettings", "Amazon", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Amazon]:
    """Return the provider of `[plugins.aws]`; it sits out until a bucket is named."""
    return [Amazon(checked(plugin_settings(settings, NAME, AWSSettings)))]
