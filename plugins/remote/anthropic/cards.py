"""Anthropic's models as data, and how each of them thinks."""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import evolve, frozen

from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.plugins.remote.anthropic.settings import NAME

_HAIKU = ModelCard(
    provider=NAME,
    id="claude-haiku-5-5",
    capabilities=frozenset({Capability.CHAT, Capability.REVISE_TRANSCRIPT}),
    summary="Claude for much that is quick: chats, corrects transcripts; takes no audio.",
    features=frozenset(
        {Feature.TOOLS, Feature.STRUCTURED_OUTPUT, Feature.IMAGES, Feature.TRANSLATION}
    ),
    media_types=frozenset(),
    quality=0.6,
    prompt_price=0.1,
    output_price=0.5,
    context_tokens=1_000_000,
    max_output_tokens=128_000,
    latency=2.0,
    tiers=frozenset({Tier.LOW}),
)

CARDS = (
    _HAIKU,
    evolve(
        _HAIKU,
        id="claude-sonnet-5-5",
        summary="Claude for every day: chats, corrects transcripts; takes no audio.",
        quality=0.8,
        prompt_price=2.0,
        output_price=10.0,
        latency=4.0,
        tiers=frozenset({Tier.MEDIUM, Tier.HIGH}),
    ),
    evolve(
        _HAIKU,
        id="claude-opus-5-5",
        summary="Claude for long and hard work: chats, corrects transcripts; takes no audio.",
        quality=0.9,
        prompt_price=4.0,
        output_price=20.0,
        latency=6.0,
        tiers=frozenset({Tier.HIGH}),
    ),
    evolve(
        _HAIKU,
        id="claude-fable-5-2",
        summary="Claude at the highest price: chats, corrects transcripts; takes no audio.",
        quality=0.95,
        prompt_price=8.0,
        output_price=40.0,
        latency=8.0,
        tiers=frozenset({Tier.HIGH}),
    ),
)
"""
Models of text in any language. Prices per million tokens: the vendor's overview of its models,
November 2026. A minute of a transcript that is revised has no price, for it is paid by token.
"""


@frozen(kw_only=True)
class Thinking:
    """How a model thinks before it answers; all of these decide by themselves how much."""

    off: str | None = None
    """The `thinking.type` that turns it off, as far as that goes; None where nothing does."""
    can_be_forced: bool = False
    """Whether it can be made to call a tool."""


_ALWAYS = Thinking()
THINKING: Mapping[str, Thinking] = MappingProxyType(
    {
        "claude-haiku-5-5": Thinking(off="disabled", can_be_forced=True),
        "claude-sonnet-5-5": Thinking(off="between_tools"),
        "claude-opus-5-5": _ALWAYS,
        "claude-fable-5-2": _ALWAYS,
    }
)
"""Of `claude-fable-5-2` the pages of its predecessor 5.1 say so."""
