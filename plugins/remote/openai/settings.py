"""`[plugins.openai]`: the servers that speak the OpenAI API, and what is special about them."""

from typing import Annotated, Literal

from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Secret, Share
from junctor.core.cards import Capability, Feature, Tier
from junctor.core.errors import ConfigError
from junctor.core.net import PoolLimits

NAME = "openai"
"""Name of the plugin, and of its first provider."""
OFFICIAL = "https://api.openai.com/v1"
"""OpenAI's own server, whose models are known without being listed."""


class ModelSettings(Base, frozen=True, kw_only=True):
    """
    `[plugins.openai.providers.<name>.models."<id>"]`: what a model's card says.

    What is not given stays as it is known for OpenAI's own models, and for others is modest: no
    time stamps, no translation, no streaming.
    """

    summary: str | None = None
    """One sentence for people."""
    capabilities: frozenset[Capability] | None = None
    """What it is asked for: `transcribe`, `stream-transcribe`, `live-transcribe`, `chat`."""
    locales: frozenset[str] | None = None
    """BCP-47 tags it understands; without it, any."""
    auto_language: bool | None = None
    """Finds the language by itself."""
    word_timestamps: bool | None = None
    """Gives word times in `verbose_json`."""
    segment_timestamps: bool | None = None
    """Gives segment times in `verbose_json`."""
    diarization: bool | None = None
    """Tells speakers apart."""
    translation: bool | None = None
    """Serves `/audio/translations`."""
    prompt: bool | None = None
    """Takes a prompt."""
    streaming: bool | None = None
    """Answers `stream=true` with server-sent events."""
    language_field: Literal["language", "languages[]", ""] | None = None
    """Form field that carries the language; empty for none."""
    media_types: frozenset[str] | None = None
    """Media types it takes as they are; others are sent as FLAC or WAV."""
    max_bytes: Count | None = None
    """Largest upload, bytes."""
    max_seconds: Seconds | None = None
    """Longest audio, seconds."""
    quality: Share | None = None
    """0 (poor) to 1 (best known)."""
    price: Annotated[float, Meta(ge=0)] | None = None
    """US dollars per minute of audio, or per million tokens of the prompt."""
    output_price: Annotated[float, Meta(ge=0)] | None = None
    """US dollars per million tokens of the answer; without it, as `price`."""
    context_tokens: Count | None = None
    """Chat: tokens of prompt and answer together, at most."""
    max_output_tokens: Count | None = None
    """Chat: tokens of an answer, at most."""
    chat_features: frozenset[Feature] | None = None
    """Chat: what it does beside text; without it, all: `tools`, `structured-output`, `images` …"""
    latency: Seconds | None = None
    """Expected time for a short request, seconds."""
    tiers: frozenset[Tier] | None = None
    """The accuracy tiers it is fit for."""


class ProviderSettings(Base, frozen=True, kw_only=True):
    """`[plugins.openai.providers.<name>]`: one server."""

    base_url: str = OFFICIAL
    """Where its API begins; `/audio/transcriptions` is appended."""
    realtime_url: str = ""
    """Where its realtime WebSocket is; empty: `/realtime` behind `base_url`, as `wss:`."""
    api_key: Secret = field(default_factory=lambda: Secret(""))
    """Sent as a bearer token; empty: the provider sits out."""
    keyless: bool = False
    """The server wants no key."""
    organization: str = ""
    """`OpenAI-Organization` header; empty for none."""
    project: str = ""
    """`OpenAI-Project` header; empty for none."""
    timeout: Seconds = 600.0
    """Longest time for one call, however much the request's deadline leaves."""
    tells_usage: bool = True
    """It takes `stream_options`; without, tokens of streams are estimated where it says nothing."""
    default_models: bool | None = None
    """Whether OpenAI's own models are served unlisted; not given: at OpenAI's own URL only."""
    models: dict[str, ModelSettings] = field(default_factory=dict)
    """The models by the server's own id; for OpenAI's, what differs from what is known."""

    @property
    def is_usable(self) -> bool:
        """Whether it has what it needs to be asked."""
        return self.keyless or bool(self.api_key)

    @property
    def live_url(self) -> str:
        """Where its realtime WebSocket is."""
        return self.realtime_url or f"ws{self.base_url.rstrip('/').removeprefix('http')}/realtime"

    @property
    def is_official(self) -> bool:
        """Whether it is OpenAI's own server."""
        return self.base_url.rstrip("/") == OFFICIAL

    @property
    def has_default_models(self) -> bool:
        """Whether OpenAI's own models are served unlisted."""
        return self.is_official if self.default_models is None else self.default_models


class OpenAISettings(Base, frozen=True, kw_only=True):
    """`[plugins.openai]`: all servers and the connections to them."""

    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    """One table per server; the name is the provider's."""
    max_connections: Count = 1024
    """Connections open at once, all servers together; more requests wait for one."""
    max_idle: Seconds = 30.0
    """Time that an unused connection is kept."""
    connect_timeout: Seconds = 5.0
    """Time to resolve, connect and shake hands."""
    max_answer_bytes: Count = 32 * 1024 * 1024
    """Largest answer that is read."""
    trust_env: bool = False
    """Obey `HTTPS_PROXY` and its kin."""

    def pool_limits(self) -> PoolLimits:
        """Return the bounds of the pool."""
        return PoolLimits(
            max_connections=self.max_connections,
            max_idle=self.max_idle,
            connect_timeout=self.connect_timeout,
            max_answer_bytes=self.max_answer_bytes,
            trust_env=self.trust_env,
        )


def checked(name: str, settings: ProviderSettings) -> ProviderSettings:
    """
    Return the settings when they can go on the wire.

    Raises:
        ConfigError: the URL is none, or a header would hold what headers cannot.

    """
    at = f"plugins.{NAME}.providers.{name}"
    _check_url(settings.base_url, {"http", "https"}, f"{at}.base_url")
    _check_url(settings.live_url, {"ws", "wss"}, f"{at}.realtime_url")
    headers = {
        "api_key": settings.api_key.reveal(),
        "organization": settings.organization,
        "project": settings.project,
    }
    for key, value in headers.items():
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                "Expected visible ASCII characters only; is there a line end or a quote too many?",
                key=f"{at}.{key}",
            )
    return settings


def _check_url(url: str, schemes: set[str], key: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme not in schemes or not rest.partition("/")[0] or not set("?#@").isdisjoint(rest):
        raise ConfigError(
            f"Expected a URL like '{max(schemes)}://api.openai.com/v1', without user, query or "
            "fragment.",
            key=key,
        )
