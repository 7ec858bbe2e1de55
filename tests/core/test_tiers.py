"""The policy of a tier out of layers, and the language that follows from it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.conf.settings import TierPolicy
from junctor.core.errors import InvalidRequestError
from junctor.core.tiers import Tongue, merged, tongue


def spoken(
    mode: Any = None,
    language: str | None = None,
    own: TierPolicy | None = None,
    house: TierPolicy | None = None,
) -> Tongue:
    return tongue(
        mode=mode, language=language, own=own or TierPolicy(), house=house or TierPolicy()
    )


def test_the_last_word_counts_and_chains_are_joined() -> None:
    """Deployment, team, request: the deployment's chain stays behind the request's own."""
    house = TierPolicy(language="th", provider_preference=("a",), fallback_chain=("x", "y"))
    own = TierPolicy(language="en", fallback_chain=("z", "x"))

    found = merged(house, own)

    assert (found.language, found.provider_preference) == ("en", ("a",))
    assert found.fallback_chain == ("z", "x", "y")


caps = st.none() | st.floats(min_value=0.1, max_value=10)


@given(st.lists(st.tuples(caps, caps), min_size=1, max_size=4))
def test_caps_only_get_tighter(layers: list[tuple[float | None, float | None]]) -> None:
    """No team and no request can widen what the deployment allows."""
    found = merged(*(TierPolicy(max_price=price, max_latency=late) for price, late in layers))
    prices = [price for price, _ in layers if price is not None]

    assert found.max_price == (min(prices) if prices else None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "en"),
        ({"language": "th"}, "th"),
        ({"mode": "auto"}, None),
        ({"mode": "auto", "language": "th"}, None),
        ({"house": TierPolicy(language="hi-IN")}, "hi-IN"),
        ({"house": TierPolicy(language_mode="auto")}, None),
        ({"house": TierPolicy(language_mode="auto"), "language": "th"}, "th"),
        ({"house": TierPolicy(allowed_languages=("th", "lo"))}, "th"),
        ({"mode": "fixed", "own": TierPolicy(language_mode="auto")}, None),
        ({"mode": "auto", "own": TierPolicy(language="en_in")}, "en-IN"),
        ({"mode": "auto", "own": TierPolicy(allowed_languages=("th",))}, "th"),
    ],
)
def test_the_language_follows_from_policy_and_fields(
    asked: dict[str, Any], found: str | None
) -> None:
    """The request's policy, then its fields, then team and deployment, then English."""
    assert spoken(**asked).language == found


@pytest.mark.parametrize(
    ("asked", "sides"),
    [
        ({"own": TierPolicy(language_mode="auto", language="th")}, ("auto", "th")),
        (
            {"language": "fr", "own": TierPolicy(allowed_languages=("en", "hi"))},
            ("fr", "en, hi"),
        ),
        ({"language": "fr", "house": TierPolicy(allowed_languages=("th",))}, ("fr", "th")),
    ],
)
def test_contradictions_name_both_sides(asked: dict[str, Any], sides: tuple[str, str]) -> None:
    """The caller sees which two things do not go together."""
    with pytest.raises(InvalidRequestError) as caught:
        spoken(**asked)

    assert all(side in str(caught.value) for side in sides)
