"""`[plugins.vllm]`: which models vLLM serves, started here or running elsewhere, and how."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Secret, Share
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.engine.server_health import HealthCheck
from junctor.core.engine.server_spec import ServerSpec
from junctor.core.engine.server_watch import WatchSpec

NAME: Final = "vllm"
EXAMPLE: Final = "qwen3-4b"
_PROGRAM: Final = ("-m", "vllm.entrypoints.openai.api_server")
_QUIET: Final = {"VLLM_NO_USAGE_STATS": "1"}
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1"}
_HUB_VARIABLES: Final = frozenset(
    ("ALL_PROXY", "HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
     "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "https_proxy", "http_proxy", "no_proxy")
)  # fmt: skip
"""What a download needs of our environment; only a model that may download gets them."""
_BUDGETS: Final = {"low": 1024, "medium": 4096}
_URL = re.compile(r"https?://[^/\s?#@]+(/v1)?/?")
_UNFIT = re.compile(r"[^\w.@-]")

Effort = Literal["low", "medium", "high"]
Tokens = Annotated[int, Meta(ge=0)]


class VllmModelSettings(Base, frozen=True, kw_only=True):
    """`[plugins.vllm.models."<id>"]`."""

    model: str = ""
    """A folder (absolute, or from `./` or `~`) or a hub name; with `urls`, its name there (empty: the id)."""
    python: str = ""
    """The interpreter of vLLM's own environment; needed where there are no `urls`."""
    urls: tuple[str, ...] = ()
    """Servers that run already, one replica each, as `http://gpu1:8000`; none is started then."""
    replicas: Count = 1
    """Servers started here, each with a process and a port of its own."""
    devices: tuple[str, ...] = ()
    """`CUDA_VISIBLE_DEVICES` of each replica, as `["0", "1"]`, or `["0,1", "2,3"]` for pairs; empty: ours."""
    args: tuple[str, ...] = ()
    """Further flags of vLLM."""
    environ: dict[str, str] = field(default_factory=dict)
    """Environment variables of the servers started here."""
    download: bool = False
    """Fetch a hub name that is not on this machine."""
    api_key: Secret = field(default_factory=lambda: Secret(""))
    """What the servers want as a bearer token, and those started here are told to want."""
    context_tokens: Count | None = None
    """Tokens of prompt and answer together, at most (`--max-model-len`); not given: what the model has."""
    reasoning: Literal["qwen3", "none"] = "qwen3"
    """`qwen3`: `reasoning_effort` becomes the thinking switch of Qwen3 and Qwen3.5; `none`: it goes on as it is."""
    thinking_tokens: dict[Effort, Tokens] | None = None
    """Tokens of thought for each effort, at most; not given: low 1024, medium 4096, and with `urls` no bound."""
    tool_parser: str = "hermes"
    """vLLM's parser of tool calls: `hermes` for Qwen3, `qwen3_xml` for Qwen3.5; empty: no tools."""
    images: bool = False
    """Takes pictures."""
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.7
    """Of requests that name none."""
    timeout: Seconds = 600.0
    """Longest time for one call."""
    start_timeout: Seconds = 900.0
    """Time to become ready; the first start loads weights and compiles."""
    stop_grace: Seconds = 8.0
    """Time between SIGTERM and SIGKILL; below `loader.close_timeout`."""
    health_interval: Seconds = 5.0
    """Time between two looks at a server's health."""
    health_misses: Count = 3
    """Looks in a row without a good answer after which a server is restarted, or left out."""
    quality: Share = 0.6
    """The card's quality."""
    price: Annotated[float, Meta(ge=0)] = 0.0
    """US dollars per million tokens of the prompt."""
    output_price: Annotated[float, Meta(ge=0)] | None = None
    """US dollars per million tokens of the answer; not given: as `price`."""
    tiers: tuple[Literal["low", "medium", "high"], ...] = ("low", "medium", "high")
    """The card's tiers."""
    latency: Seconds = 1.0
    """The card's expected seconds for a short request."""
    summary: str = ""
    """The card's sentence."""

    def __post_init__(self) -> None:
        if not self.urls and not (self.python and self.model):
            raise ValueError(
                "give `urls` of servers that run, or `model` and the `python` of an environment "
                "in which vLLM is installed"
            )
        for url in self.urls:
            if _URL.fullmatch(url) is None:
                raise ValueError("each of `urls` has to be a URL such as `http://gpu1:8000`")
        if self.devices and len(self.devices) != self.replicas:
            raise ValueError("`devices` has to name as many as there are `replicas`")

    @property
    def count(self) -> int:
        """How many replicas there are."""
        return len(self.urls) or self.replicas

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes with each call."""
        key = self.api_key.reveal()
        return {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def budgets(self) -> Mapping[str, int]:
        """Tokens of thought for each effort that has a bound."""
        if self.thinking_tokens is not None:
            return {str(effort): tokens for effort, tokens in self.thinking_tokens.items()}
        return {} if self.urls else _BUDGETS


class VllmSettings(Base, frozen=True, kw_only=True):
    """`[plugins.vllm]`."""

    models: dict[str, VllmModelSettings] = field(default_factory=dict)
    """One table per model."""
    log_folder: str = ""
    """Where the output of servers started here goes, a file each; empty: `logs` in the data folder."""


def cards_of(model: str, settings: VllmModelSettings) -> Iterator[ModelCard]:
    """Yield the card of each replica; of a single one it is that of the model itself."""
    features = {Feature.STRUCTURED_OUTPUT, Feature.LOGPROBS, Feature.SEVERAL_ANSWERS}
    features |= {Feature.TOOLS} if settings.tool_parser else set()
    features |= {Feature.IMAGES} if settings.images else set()
    for number in range(1, settings.count + 1):
        yield ModelCard(
            provider=NAME,
            id=model if settings.count == 1 else f"{model}@{number}",
            replica_of=None if settings.count == 1 else model,
            answers_as=(settings.model or model) if settings.urls else "",
            capabilities=frozenset({Capability.CHAT}),
            summary=settings.summary or f"{model} through vLLM.",
            features=frozenset(features),
            context_tokens=settings.context_tokens,
            quality=settings.quality,
            price=settings.price,
            output_price=settings.output_price,
            tiers=frozenset(map(Tier, settings.tiers)),
            latency=settings.latency,
        )


def served_name(card: ModelCard) -> str:
    """Return what the server of a replica calls the model."""
    return card.answers_as or card.id


def watch_of(card: ModelCard, settings: VllmModelSettings, url: str) -> WatchSpec:
    """Return how a server that runs already is watched."""
    return WatchSpec(
        name=card.name,
        url=url.removesuffix("/").removesuffix("/v1"),
        model=served_name(card),
        check=HealthCheck(name=card.name, path="/health", headers=settings.headers, timeout=10.0),
        interval=settings.health_interval,
        misses=settings.health_misses,
    )


def server_of(
    card: ModelCard, settings: VllmModelSettings, *, device: str | None, log_folder: Path
) -> ServerSpec:
    """Return how the server of a replica is started; vLLM gets its key where `ps` does not show it."""
    key = settings.api_key.reveal()
    environ = _QUIET | ({} if settings.download else _OFFLINE)
    environ |= {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
    environ |= {"VLLM_API_KEY": key} if key else {}
    return ServerSpec(
        name=card.name,
        command=(str(Path(settings.python).expanduser()), *_PROGRAM, *_flags(card, settings)),
        environ=environ | settings.environ,
        inherit=_HUB_VARIABLES if settings.download else frozenset(),
        ready_model=served_name(card),
        headers=settings.headers,
        start_timeout=settings.start_timeout,
        stop_grace=settings.stop_grace,
        log_file=log_folder / f"{NAME}-{_UNFIT.sub('_', card.id)}.log",
        health_interval=settings.health_interval,
        health_misses=settings.health_misses,
    )


def _flags(card: ModelCard, settings: VllmModelSettings) -> Iterator[str]:
    path = Path(settings.model).expanduser()
    is_folder = path.is_absolute() or settings.model.startswith(("./", "../"))
    yield from ("--host", "127.0.0.1", "--port", "{port}")
    yield "--disable-uvicorn-access-log"  # else its last words would be those of a health check
    yield from ("--model", str(path) if is_folder else settings.model)
    yield from ("--served-model-name", served_name(card))
    if settings.context_tokens is not None:
        yield from ("--max-model-len", str(settings.context_tokens))
    if settings.reasoning != "none":
        yield from ("--reasoning-parser", settings.reasoning)
    if settings.tool_parser:
        yield from ("--enable-auto-tool-choice", "--tool-call-parser", settings.tool_parser)
    yield from settings.args
