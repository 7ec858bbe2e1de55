"""
From a wish to a plan: which models are asked, in which order, and why the others are not.

Pure: it reads cards, settings and the observed health, and touches nothing. The order is the
requested model and the chain behind it, then the tier's preference, then the tier's fallback
chain; with none of these, every fitting model ranked by the tier's weights.
"""

from collections.abc import Iterator
from typing import Protocol, cast

from attrs import frozen

from junctor.conf.settings import Policy, TierPolicy
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.core.catalog import Catalog
from junctor.core.errors import (
    ForbiddenError,
    JunctorError,
    NoCandidateError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.locales import understands
from junctor.core.plans import Candidate, Exclusion, Fault, Place, Plan, Wish

SERVES: dict[Capability, frozenset[Capability]] = {
    Capability.STREAM_TRANSCRIBE: frozenset({Capability.STREAM_TRANSCRIBE, Capability.TRANSCRIBE}),
}
"""Capabilities that can stand in: a stream may be one transcript in a single piece."""


class Observed(Protocol):
    """What policy wants to know of the past; `junctor.core.health.Health` knows it."""

    def is_open(self, model: str, capability: Capability) -> bool:
        """Say whether the breaker of `provider:model` lets nothing through now."""

    def latency(self, model: str, capability: Capability) -> float | None:
        """Return the observed latency, seconds; None before the first answer."""


@frozen(kw_only=True)
class Planner:
    """Makes plans from one immutable snapshot of cards and settings."""

    catalog: Catalog
    policy: Policy
    observed: Observed

    def plan(self, wish: Wish) -> Plan:
        """
        Make the plan of a wish.

        Raises:
            UnknownModelError: the wish names a model that nobody serves.

        """
        tier = self._tier(wish)
        candidates: list[Candidate] = []
        excluded: list[Exclusion] = []
        seen: set[str] = set()
        for name, place in self._ordered(wish, tier):
            if name in seen:
                continue
            seen.add(name)
            card = self.catalog.cards.get(name)
            exclusion = self._judge(name, card, wish, tier, place)
            if exclusion is not None:
                excluded.append(exclusion)
            elif card is not None and len(candidates) < self.policy.max_candidates:
                candidates.append(Candidate(card=card, place=place))
        return Plan(candidates=tuple(candidates), excluded=tuple(excluded))

    def _tier(self, wish: Wish) -> TierPolicy:
        tiers = cast("dict[str, TierPolicy]", self.policy.tiers)
        return tiers.get(wish.tier or self.policy.default_tier) or TierPolicy()

    def _ordered(self, wish: Wish, tier: TierPolicy) -> Iterator[tuple[str, Place]]:
        if wish.model is not None:
            names = self._resolve(wish.model, wish.capability)
            yield names[0], Place.REQUESTED
            yield from ((name, Place.FALLBACK) for name in names[1:])
        for preferred in tier.provider_preference:
            for name in self._of_provider(preferred, wish.capability):
                yield name, Place.PREFERRED
        yield from ((name, Place.TIER_CHAIN) for name in tier.fallback_chain)
        if wish.model is None and not tier.provider_preference and not tier.fallback_chain:
            ranked = self._ranked(wish, tier)
            yield from ((name, Place.RANKED) for name in ranked)

    def _resolve(self, model: str, capability: Capability) -> tuple[str, ...]:
        names = self.catalog.resolve(model)
        cards = [self.catalog.cards.get(name) for name in names]
        # A chain whose providers are all absent is known, only not served: the plan says why.
        if not names or all(card is not None and not _serves(card, capability) for card in cards):
            raise UnknownModelError(model, self.catalog.known(*_capabilities(capability)))
        return names

    def _of_provider(self, preferred: str, capability: Capability) -> list[str]:
        if ":" in preferred:
            return [preferred]
        fitting = [
            name
            for name, card in self.catalog.cards.items()
            if card.provider == preferred and _serves(card, capability)
        ]
        # An absent provider stays in the plan, as left out for its reason.
        return fitting or ([] if preferred in self.catalog.providers else [preferred])

    def _ranked(self, wish: Wish, tier: TierPolicy) -> list[str]:
        wanted = wish.tier or Tier(self.policy.default_tier)
        cards = [c for c in self.catalog.cards.values() if _serves(c, wish.capability)]
        dearest = max((card.price for card in cards), default=0.0) or 1.0
        slowest = max((self._latency(card, wish) for card in cards), default=0.0) or 1.0

        def score(card: ModelCard) -> tuple[bool, float, str]:
            weights = tier.weights
            value = (
                weights.quality * card.quality
                + weights.price * (1 - card.price / dearest)
                + weights.latency * (1 - self._latency(card, wish) / slowest)
            )
            return wanted not in card.tiers, -value, card.name

        return [card.name for card in sorted(cards, key=score)]

    def _latency(self, card: ModelCard, wish: Wish) -> float:
        seen = self.observed.latency(card.name, wish.capability)
        return card.latency if seen is None else seen

    def _judge(
        self, name: str, card: ModelCard | None, wish: Wish, tier: TierPolicy, place: Place
    ) -> Exclusion | None:
        if card is None:
            reason = self.catalog.absence(name)
            return Exclusion(model=name, reason=reason, fault=Fault.SERVER)
        return (
            _misfit(card, wish, place)
            or _too_much(card, wish)
            or _not_allowed(card, wish, tier)
            or self._broken(card, wish)
        )

    def _broken(self, card: ModelCard, wish: Wish) -> Exclusion | None:
        if not self.observed.is_open(card.name, wish.capability):
            return None
        reason = "left alone after repeated failures"
        return Exclusion(model=card.name, reason=reason, fault=Fault.TEMPORARY)


def _capabilities(capability: Capability) -> frozenset[Capability]:
    return SERVES.get(capability, frozenset({capability}))


def _serves(card: ModelCard, capability: Capability) -> bool:
    return not card.capabilities.isdisjoint(_capabilities(capability))


def _misfit(card: ModelCard, wish: Wish, place: Place) -> Exclusion | None:
    missing = sorted(feature.value for feature in wish.features - card.features)
    if not _serves(card, wish.capability):
        reason = f"does not {wish.capability}"
    elif wish.language is not None and not understands(card.locales, wish.language):
        reason = f"does not know the language {wish.language}"
    elif wish.language is None and place is Place.RANKED and not _detects(card):
        # Named by an operator or a caller, a model of one language is taken at their word.
        reason = "cannot detect the language, and none was given"
    elif missing:
        reason = f"lacks {', '.join(missing)}"
    else:
        return None
    return Exclusion(model=card.name, reason=reason, fault=Fault.REQUEST)


def _detects(card: ModelCard) -> bool:
    needs_language = not card.capabilities.isdisjoint(
        {Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE}
    )
    return not needs_language or Feature.AUTO_LANGUAGE in card.features


def _too_much(card: ModelCard, wish: Wish) -> Exclusion | None:
    if card.max_seconds is not None and wish.seconds > card.max_seconds:
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


def _not_allowed(card: ModelCard, wish: Wish, tier: TierPolicy) -> Exclusion | None:
    names = {card.name, card.id, wish.model}
    if wish.allowed_models and names.isdisjoint(wish.allowed_models):
        return Exclusion(model=card.name, reason="not allowed for this team", fault=Fault.TEAM)
    if tier.max_price is not None and card.price > tier.max_price:
        reason = f"costs more than the tier's {tier.max_price:g} a minute"
        return Exclusion(model=card.name, reason=reason, fault=Fault.SERVER)
    return None


def refusal(plan: Plan) -> JunctorError:
    """Return the error that tells best why a plan has no candidate."""
    faults = {exclusion.fault for exclusion in plan.excluded}
    reasons = [str(exclusion) for exclusion in plan.excluded]
    if faults == {Fault.TEAM}:
        return ForbiddenError("Your team may not use this model. Ask the operator to allow it.")
    if faults <= {Fault.REQUEST, Fault.TEAM} and faults:
        return _request_refusal(plan, reasons)
    return NoCandidateError(reasons, temporary=Fault.TEMPORARY in faults)


def _request_refusal(plan: Plan, reasons: list[str]) -> JunctorError:
    seconds = [one.max_seconds for one in plan.excluded if one.max_seconds is not None]
    sizes = [one.max_bytes for one in plan.excluded if one.max_bytes is not None]
    if len(seconds) == len(plan.excluded):
        return TooLongError(limit_seconds=max(seconds))
    if len(sizes) == len(plan.excluded):
        return TooLargeError(limit_bytes=max(sizes))
    return UnsupportedOptionError(
        f"No model can do what this request asks for: {'; '.join(reasons)}. Change the request, "
        "or name another model."
    )
