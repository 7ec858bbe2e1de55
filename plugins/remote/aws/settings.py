"""`[plugins.aws]`: the account, the region, and the bucket through which recordings go."""

import re

from msgspec import field
from msgspec.structs import replace

from junctor.conf.settings import Seconds, Secret
from junctor.core.errors import ConfigError, NotConfiguredError
from junctor.plugins.remote.vendor import VendorSettings

NAME = "aws"
"""Name of the plugin and of its provider."""

_SHAPES = {
    "region": (re.compile(r"[a-z]{2}(-[a-z]+)+-\d"), "a region like 'eu-west-1'"),
    "bucket": (re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), "the name of an S3 bucket"),
    "prefix": (re.compile(r"[A-Za-z0-9._/-]{0,200}"), "letters, digits and ./_- only"),
    "s3_url": (re.compile(r"(https?://[^/?#@\s]+(/[^?#@\s]*)?)?"), "a URL with scheme and host"),
}


class AWSSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.aws]`; there is no `api_key` here, and the URLs follow from the region."""

    access_key_id: Secret = field(default_factory=lambda: Secret(""))
    """With `secret_access_key`, who asks; empty: botocore's own chain (environment, files, role)."""
    secret_access_key: Secret = field(default_factory=lambda: Secret(""))
    """The other half."""
    session_token: Secret = field(default_factory=lambda: Secret(""))
    """Only for temporary credentials."""
    region: str = "us-east-1"
    """Where jobs run; the bucket must be in the same one."""
    bucket: str = ""
    """S3 bucket of recordings and results, which are deleted after each job."""
    prefix: str = "junctor/"
    """What the names of those objects begin with."""
    s3_url: str = ""
    """Where S3 is, asked in path style; empty for Amazon's own."""
    poll: Seconds = 2.0
    """Longest pause between two looks at a job."""
    live_languages: frozenset[str] = frozenset({"en-US", "es-US", "fr-FR", "hi-IN", "th-TH"})
    """What live detection chooses from where a request names no languages; one per language."""


def checked(settings: AWSSettings) -> AWSSettings:
    """
    Return the settings with the region's URLs filled in.

    Raises:
        NotConfiguredError: no bucket.
        ConfigError: a key is given by half, or a name cannot be one.

    """
    if not settings.bucket:
        raise NotConfiguredError(f"no bucket: set `bucket` and `region` in [plugins.{NAME}]")
    for key, (shape, expected) in _SHAPES.items():
        if not shape.fullmatch(getattr(settings, key)):
            raise ConfigError(f"Expected {expected}.", key=f"plugins.{NAME}.{key}")
    if settings.api_key:
        raise ConfigError(
            "Amazon has none; give `access_key_id` and `secret_access_key`.",
            key=f"plugins.{NAME}.api_key",
        )
    if bool(settings.access_key_id) != bool(settings.secret_access_key):
        raise ConfigError(
            "Expected `access_key_id` and `secret_access_key` together, or neither.",
            key=f"plugins.{NAME}.access_key_id",
        )
    return _located(settings)


def _located(settings: AWSSettings) -> AWSSettings:
    region = settings.region
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return replace(
        settings,
        base_url=settings.base_url or f"https://transcribe.{region}.{domain}",
        stream_url=settings.stream_url or f"wss://transcribestreaming.{region}.{domain}:8443",
        s3_url=f"{settings.s3_url.rstrip('/')}/{settings.bucket}"
        if settings.s3_url
        else _bucket_url(settings.bucket, f"s3.{region}.{domain}"),
    )


def _bucket_url(bucket: str, host: str) -> str:
    """Return the bucket's own URL; a dot in its name would not fit the certificate."""
    return f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"
