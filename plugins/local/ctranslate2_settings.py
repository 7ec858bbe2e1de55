"""`[plugins.ctranslate2]`: which language models CTranslate2 serves, from where, and how."""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Share
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.tiny_chat import MODEL_ID, model_path
from junctor.plugins.local.workers.chat_prompt import settings_in

NAME: Final = "ctranslate2"
BUILTIN: Final = f"builtin:{MODEL_ID}"
CONTEXT: Final = 4096
"""Tokens, where nobody says how many."""
_LONGEST: Final = 10_000_000
"""A context that is longer means in Hugging Face's files that it is unknown."""
_TINY: Final = (
    "A tiny Qwen3 of junctor's own: answers a few dozen questions about junctor, nothing else."
)

Price = Annotated[float, Meta(ge=0)]


class ChatModelSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.ctranslate2.models."<id>"]`."""

    path: str = BUILTIN
    """A folder in CTranslate2's format with `tokenizer.json` and a chat template, or
    `builtin:junctor-tiny-chat`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs."""
    device_index: Annotated[int, Meta(ge=0)] = 0
    """Which GPU."""
    compute_type: str = "default"
    """CTranslate2's number format: `int8`, `float16`, `int8_float16` …"""
    slots: Count = 8
    """Conversations decoded at the same time; more wait in the queue."""
    threads: Annotated[int, Meta(ge=0)] = 0
    """Threads of one decode on a CPU; 0 for half of the cores."""
    context_tokens: Count | None = None
    """Tokens of prompt and answer together; what the folder's tokenizer says, else 4096."""
    tools: bool = True
    """Whether it may be offered functions."""
    reasoning: bool = True
    """Whether it thinks first where a request asks for it."""
    cancel_grace: Seconds = 120.0
    """Time a cancelled request gets to stop: it stops at the next token, but not while the model
    reads a long prompt, and ending the process would end all other conversations, too."""
    quality: Share | None = None
    """The card's quality."""
    tiers: tuple[Literal["low", "medium", "high"], ...] | None = None
    """The card's tiers."""
    latency: Seconds = 1.0
    """The card's expected seconds for a short request."""
    price: Price = 0.0
    """US dollars per million tokens of the prompt."""
    output_price: Price | None = None
    """US dollars per million tokens of the answer; as `price`."""
    summary: str = ""
    """The card's sentence."""

    @property
    def is_tiny(self) -> bool:
        """Whether it is the model that the package carries."""
        return self.path == BUILTIN

    @property
    def folder(self) -> Path:
        """Where the model lies; `~` is the home of whoever runs the server."""
        return Path(model_path() if self.is_tiny else self.path).expanduser()

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        if self.context_tokens is not None:
            return self.context_tokens
        for file, key in (
            ("config.json", "max_position_embeddings"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            found = settings_in(self.folder, file).get(key)
            if isinstance(found, int) and 0 < found < _LONGEST:
                return found
        return CONTEXT


class ChatSettings(Base, frozen=True, kw_only=True):
    """`[plugins.ctranslate2]`."""

    models: dict[str, ChatModelSettings] = field(
        default_factory=lambda: {MODEL_ID: ChatModelSettings()}
    )
    """One table per model; the tiny one alone when there are none."""


def card_of(model: str, settings: ChatModelSettings) -> ModelCard:
    """Return the card of a model as it is set up."""
    features = {Feature.SEVERAL_ANSWERS, Feature.LOGPROBS}
    if settings.tools:
        features.add(Feature.TOOLS)
    is_tiny = settings.is_tiny
    tiers = frozenset({Tier.LOW}) if is_tiny else frozenset(Tier)
    quality = 0.05 if is_tiny else 0.5
    return ModelCard(
        provider=NAME,
        id=model,
        capabilities=frozenset({Capability.CHAT}),
        summary=settings.summary or (_TINY if is_tiny else f"{model} through CTranslate2."),
        features=frozenset(features),
        quality=quality if settings.quality is None else settings.quality,
        price=settings.price,
        output_price=settings.output_price,
        context_tokens=settings.context,
        latency=settings.latency,
        tiers=tiers if settings.tiers is None else frozenset(map(Tier, settings.tiers)),
    )
