"""
The policy of a tier, put together: the deployment's, the team's over it, the request's over both.

Pure. What is not given (None, or empty) leaves what was there; chains are joined, so that the
deployment's stands behind the request's own; caps only ever get tighter.
"""

from functools import reduce
from typing import Literal

from attrs import frozen
from msgspec.structs import replace

from junctor.conf.settings import TierPolicy
from junctor.core.errors import InvalidRequestError
from junctor.core.locales import checked, match

DEFAULT_LANGUAGE = "en"
POLICY = "accuracy_language_policy"


def merged(*layers: TierPolicy) -> TierPolicy:
    """Return one policy out of layers, of which the last one has the last word."""
    return reduce(_over, layers, TierPolicy())


def _over(below: TierPolicy, above: TierPolicy) -> TierPolicy:
    return TierPolicy(
        language_mode=above.language_mode or below.language_mode,
        language=above.language or below.language,
        allowed_languages=above.allowed_languages or below.allowed_languages,
        provider_preference=above.provider_preference or below.provider_preference,
        fallback_chain=tuple(dict.fromkeys((*above.fallback_chain, *below.fallback_chain))),
        ensemble=above.ensemble or below.ensemble,
        hedge=below.hedge if above.hedge is None else above.hedge,
        max_price=_tighter(below.max_price, above.max_price),
        max_latency=_tighter(below.max_latency, above.max_latency),
        weights=above.weights or below.weights,
    )


def _tighter(one: float | None, other: float | None) -> float | None:
    given = [cap for cap in (one, other) if cap is not None]
    return min(given) if given else None


@frozen(kw_only=True)
class Tongue:
    """Which language is spoken, or among which it is to be found."""

    language: str | None
    """BCP-47; None to detect it."""
    allowed: tuple[str, ...] = ()
    """BCP-47 tags that may be found; empty for any."""


def tongue(
    *,
    mode: Literal["fixed", "auto"] | None,
    language: str | None,
    own: TierPolicy,
    house: TierPolicy,
) -> Tongue:
    """
    Decide which language a request is in.

    The request's policy for the tier counts before its fields, for callers turn one slider and
    leave the fields as they are; both count before what the deployment and the team say.

    Args:
        mode: the request's field; None where it was not given.
        language: the request's field, as BCP-47; None where it was not given.
        own: the request's own policy for the tier.
        house: the deployment's and the team's, merged.

    Raises:
        InvalidRequestError: two of these contradict each other; both are named.

    """
    own, house = _standard(own), _standard(house)
    if own.language_mode == "auto" and own.language:
        raise InvalidRequestError(
            f"language_mode 'auto' conflicts with language {own.language!r} in the same tier of "
            f"{POLICY}. Leave one of them out.",
            param=POLICY,
        )
    allowed = own.allowed_languages or house.allowed_languages
    chosen = own.language_mode or (own.language and "fixed") or mode or (language and "fixed")
    chosen = chosen or house.language_mode or "fixed"
    if chosen == "auto":
        return Tongue(language=allowed[0] if len(allowed) == 1 else None, allowed=allowed)
    spoken = own.language or language or house.language or _usual(allowed)
    if allowed and match(allowed, spoken) is None:
        raise InvalidRequestError(
            f"language {spoken!r} conflicts with allowed_languages {', '.join(allowed)}. Choose one "
            "of these, or allow it.",
            param="language",
        )
    return Tongue(language=spoken, allowed=allowed)


def _usual(allowed: tuple[str, ...]) -> str:
    if not allowed or match(allowed, DEFAULT_LANGUAGE) is not None:
        return DEFAULT_LANGUAGE
    return allowed[0]


def _standard(policy: TierPolicy) -> TierPolicy:
    """Return the policy with its tags as BCP-47 writes them."""
    return replace(
        policy,
        language=policy.language and checked(policy.language, param=POLICY),
        allowed_languages=tuple(checked(tag, param=POLICY) for tag in policy.allowed_languages),
    )
