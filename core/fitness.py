"""
Whether a model fits a wish, by its card alone: what it can do, its languages, its caps.

Pure; `junctor.core.policy` puts the answers together.
"""

from attrs import evolve

from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.locales import match, primary, understands
from junctor.core.plans import Exclusion, Fault, Wish

SERVES: dict[Capability, frozenset[Capability]] = {
    Capability.TRANSCRIBE: frozenset({Capability.TRANSCRIBE, Capability.REVISE_TRANSCRIPT}),
    Capability.STREAM_TRANSCRIBE: frozenset(
        {
            Capability.STREAM_TRANSCRIBE,
            Capability.LIVE_TRANSCRIBE,
            Capability.TRANSCRIBE,
            Capability.REVISE_TRANSCRIPT,
        }
    ),
    Capability.LIVE_TRANSCRIBE: frozenset(
        {Capability.LIVE_TRANSCRIBE, Capability.TRANSCRIBE_WINDOWS, Capability.TRANSCRIBE}
    ),
}
"""
Capabilities that can stand in: a stream may be one transcript in a single piece, a live session many
windows or one transcript for each utterance, and a model without ears revises what another heard.
"""

LONGEST_PLAYED = 600.0
"""Seconds of a recording that is played to a model which only listens live, at most."""

_HEARS = frozenset(
    {
        Capability.TRANSCRIBE,
        Capability.STREAM_TRANSCRIBE,
        Capability.LIVE_TRANSCRIBE,
        Capability.TRANSCRIBE_WINDOWS,
    }
)


_ENOUGH = {one: SERVES.get(one, frozenset({one})) for one in Capability}


def stand_ins(capability: Capability) -> frozenset[Capability]:
    """Return the capabilities of which one is enough."""
    return _ENOUGH[capability]


def serves(card: ModelCard, capability: Capability) -> bool:
    """Say whether a model can do it, or stand in for one that can."""
    return not card.capabilities.isdisjoint(_ENOUGH[capability])


def standing(card: ModelCard, capability: Capability) -> int:
    """Return how far a model stands from a capability: it has it, stands in well, or at a pinch."""
    is_rolling = capability is Capability.LIVE_TRANSCRIBE
    if capability in card.capabilities or (
        is_rolling and Capability.TRANSCRIBE_WINDOWS in card.capabilities
    ):
        return 0
    return 1 if Capability.TRANSCRIBE in card.capabilities else 2


def is_deaf(card: ModelCard) -> bool:
    """Say whether a model only reasons over transcripts that others make."""
    return Capability.REVISE_TRANSCRIPT in card.capabilities and card.capabilities.isdisjoint(
        _HEARS
    )


def is_abroad(card: ModelCard, tag: str | None) -> bool:
    """Say whether a model knows the language, but of another region than the one asked for."""
    if tag is None or card.locales is None or "-" not in tag:
        return False
    found = match(card.locales, tag)
    return found is not None and found.lower() not in {tag.lower(), primary(tag)}


def misfit(card: ModelCard, wish: Wish) -> Exclusion | None:
    """Return why a model cannot do what is asked at all; None when it can."""
    allowed = wish.allowed_languages
    if not serves(card, wish.capability):
        reason = f"does not {wish.capability}"
    elif wish.language is not None and not understands(card.locales, wish.language):
        reason = f"does not know the language {wish.language}"
    elif allowed and not any(understands(card.locales, one) for one in allowed):
        reason = f"knows none of the languages {', '.join(allowed)}"
    elif not wish.features <= card.features:
        missing = sorted(feature.value for feature in wish.features - card.features)
        reason = f"lacks {', '.join(missing)}"
    else:
        return None
    return Exclusion(model=card.name, reason=reason, fault=Fault.REQUEST)


def detects(card: ModelCard) -> bool:
    """Say whether a model needs nobody to tell it the language."""
    needs_language = not card.capabilities.isdisjoint(_HEARS)
    return not needs_language or Feature.AUTO_LANGUAGE in card.features


def too_much(card: ModelCard, wish: Wish) -> Exclusion | None:
    """Return why recording or prompt is too long or large for a model; None when it is not."""
    if wish.tokens or wish.output_tokens:
        exclusion = _too_many_tokens(card, wish)
        if exclusion is not None:
            return exclusion
    is_played = wish.capability is Capability.STREAM_TRANSCRIBE and not is_deaf(card)
    if is_played and standing(card, wish.capability) > 1:
        longest = min(LONGEST_PLAYED, card.max_seconds or LONGEST_PLAYED)
        card = evolve(card, max_seconds=longest)
    if card.max_seconds is not None and wish.seconds > card.max_seconds:
        if wish.capability is Capability.GENERATE_VIDEO:
            reason = f"makes at most {card.max_seconds:g} seconds of video"
            return Exclusion(model=card.name, reason=reason, fault=Fault.REQUEST)
        return Exclusion(
            model=card.name,
            reason=f"takes at most {card.max_seconds:g} seconds of audio",
            fault=Fault.REQUEST,
            max_seconds=card.max_seconds,
        )
    if card.max_bytes is not None and wish.bytes > card.max_bytes:
        return Exclusion(
            model=card.name,
            reason=f"takes at most {card.max_bytes} bytes",
            fault=Fault.REQUEST,
            max_bytes=card.max_bytes,
        )
    return None


def _too_many_tokens(card: ModelCard, wish: Wish) -> Exclusion | None:
    """
    Return why prompt and answer are too long for a model; None when they are not.

    Where a shorter answer would fit, the bound is that of the answer: what the prompt leaves of the
    context, or the model's own.
    """
    context, longest = card.context_tokens, card.max_output_tokens
    needed = wish.tokens + wish.output_tokens
    if context is not None and needed > context:
        if wish.tokens >= context:
            return Exclusion(
                model=card.name,
                reason=f"has a context of {context} tokens, and at least {needed} are needed",
                fault=Fault.REQUEST,
                max_tokens=context,
                needed_tokens=needed,
            )
        left = context - wish.tokens
        longest = left if longest is None else min(left, longest)
    if longest is None or wish.output_tokens <= longest:
        return None
    return Exclusion(
        model=card.name,
        reason=f"answers with at most {longest} tokens here, and {wish.output_tokens} are asked for",
        fault=Fault.REQUEST,
        max_tokens=longest,
        needed_tokens=wish.output_tokens,
        is_answer_long=True,
    )
