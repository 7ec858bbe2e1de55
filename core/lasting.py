"""
Plans that are the same for every wish of a kind, and so are made once.

To plan was a tenth of the CPU of a relayed chat request, and nearly always with the same result:
what a model can do and who may use it change with a reload only, which makes another planner. What
changes from request to request is looked at each time: breakers, and how long the text is.
"""

import math
from collections.abc import Callable, Sequence

from attrs import frozen

from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.plans import Fault, Plan, Wish

Kind = tuple[str, frozenset[Feature], tuple[str, ...]]
"""Model, features and allow-list of a wish to chat."""


@frozen
class Lasting:
    """The plan of every wish of a kind while no model of it is left alone and the text fits all."""

    plan: Plan
    names: tuple[str, ...]
    """All that fit, `provider:model`, also those for whom the plan has no place."""
    context: float
    """The smallest of their contexts, tokens."""
    answer: float
    """The shortest of their longest answers, tokens."""

    def holds(self, wish: Wish, is_open: Callable[[str, Capability], bool]) -> bool:
        """Say whether a wish of its kind gets this plan now."""
        output = wish.output_tokens
        if output > self.answer or wish.tokens + output > self.context:
            return False
        for name in self.names:  # noqa: SIM110  # half the time of `any` with a generator
            if is_open(name, Capability.CHAT):
                return False
        return True


def kind_of(wish: Wish) -> Kind | None:
    """Return the kind of a wish to chat with a named model; None of any other wish."""
    if wish.capability is not Capability.CHAT or wish.model is None:
        return None
    if wish.language is not None or wish.allowed_languages or wish.bytes or wish.seconds:
        return None
    return wish.model, wish.features, wish.allowed_models


def lasting(plan: Plan, fitting: Sequence[ModelCard]) -> Lasting | None:
    """
    Return what a plan holds for; None where it is one of this moment alone.

    Args:
        plan: of a wish that has a kind.
        fitting: every card that was found to fit.

    """
    if plan.members or not plan.candidates:  # members share a load, which changes
        return None
    for one in plan.excluded:
        if one.fault is Fault.TEMPORARY or one.max_tokens is not None:
            return None
    return Lasting(
        plan,
        tuple(card.name for card in fitting),
        min(_bound(card.context_tokens) for card in fitting),
        min(_bound(card.max_output_tokens) for card in fitting),
    )


def _bound(tokens: int | None) -> float:
    return math.inf if tokens is None else tokens
