"""The order of a pool's members: by load, by latency, by lot, and by what a request begins with."""

from collections import Counter
from collections.abc import Iterator
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.balance import BOUND, Balance, Member, home, ordered

BALANCES: tuple[Balance, ...] = ("least-outstanding", "peak-ewma", "weighted")
_NAMES = st.lists(st.sampled_from([f"p:m@{n}" for n in range(9)]), min_size=1, unique=True)
_MEMBERS = _NAMES.flatmap(
    lambda names: st.tuples(
        *(
            st.builds(
                Member,
                name=st.just(name),
                outstanding=st.integers(0, 50),
                latency=st.floats(0.01, 10),
                weight=st.floats(0.01, 10),
                is_full=st.booleans(),
            )
            for name in names
        )
    )
)


def names(members: list[Member]) -> list[str]:
    return [one.name for one in members]


def homes(members: list[Member], count: int = 2000) -> Iterator[str]:
    """Yield where each of many conversations is at home when nobody is busy."""
    for number in range(count):
        found = home(members, f"conversation {number}".encode())
        assert found is not None
        yield found.name


@pytest.mark.parametrize(
    ("balance", "first"),
    [("least-outstanding", "p:idle"), ("peak-ewma", "p:quick")],
)
def test_load_and_latency_each_bring_a_winner(balance: Balance, first: str) -> None:
    """Three under way at a quick one cost less time than one at a slow one."""
    members = [Member("p:idle", 0, 9.0), Member("p:quick", 2, 0.5), Member("p:busy", 3, 1.0)]

    assert names(ordered(members, balance, random=Random(1).random))[0] == first


@pytest.mark.parametrize("balance", ["least-outstanding", "peak-ewma"])
def test_who_weighs_twice_as_much_carries_twice_as_much(balance: Balance) -> None:
    """With three under way it stands as one with one under way."""
    members = [Member("p:one", 1), Member("p:two", 2, weight=2.0)]

    assert names(ordered(members, balance, random=Random(1).random))[0] == "p:two"


@pytest.mark.parametrize("balance", BALANCES)
def test_equal_members_take_turns_by_chance(balance: Balance) -> None:
    """Not always the first one of the file."""
    draw = Random(7).random
    members = [Member(f"p:{n}") for n in range(4)]
    first = Counter(ordered(members, balance, random=draw)[0].name for _ in range(2000))

    assert all(400 < first[one.name] < 600 for one in members)


def test_the_lot_falls_by_weight() -> None:
    """A member of weight three is first three times as often as one of weight one."""
    draw = Random(7).random
    members = [Member("p:one"), Member("p:three", weight=3.0)]
    first = Counter(ordered(members, "weighted", random=draw)[0].name for _ in range(4000))

    assert first["p:three"] / 4000 == pytest.approx(0.75, abs=0.03)


@given(members=_MEMBERS, balance=st.sampled_from(BALANCES), seed=st.integers(0, 9))
def test_nobody_is_lost_and_who_is_full_comes_last(
    members: tuple[Member, ...], balance: Balance, seed: int
) -> None:
    """Whatever the balance."""
    found = ordered(members, balance, random=Random(seed).random)

    assert sorted(names(found)) == sorted(one.name for one in members)
    assert [one.is_full for one in found] == sorted(one.is_full for one in members)


@given(members=_MEMBERS, affinity=st.binary(min_size=1))
def test_home_is_not_overloaded(members: tuple[Member, ...], affinity: bytes) -> None:
    """There is one as long as one has room, and its load stays within the bound of its share."""
    able = [one for one in members if not one.is_full]
    found = home(members, affinity)

    assert (found is None) == (not able)
    if found is not None:
        total = sum(one.outstanding for one in able) + 1
        share = found.weight / sum(one.weight for one in able)
        assert found.outstanding + 1 <= ceil(BOUND * total * share)


@given(
    weights=st.lists(st.floats(0.1, 10), min_size=2, max_size=6),
    gone=st.integers(0, 5),
    affinity=st.binary(min_size=1),
)
def test_a_member_that_goes_moves_only_its_own_conversations(
    weights: list[float], gone: int, affinity: bytes
) -> None:
    """All others stay where their caches are."""
    members = [Member(f"p:m@{n}", weight=weight) for n, weight in enumerate(weights)]
    lost = members[gone % len(members)]
    before = home(members, affinity)
    after = home([one for one in members if one is not lost], affinity)

    assert before is lost or after is before


def test_conversations_are_spread_by_weight() -> None:
    """A member of weight two is home to twice as many."""
    found = Counter(homes([Member("p:one"), Member("p:two", weight=2.0), Member("p:three")]))

    assert found["p:two"] / 2000 == pytest.approx(0.5, abs=0.05)
    assert found["p:one"] / 2000 == pytest.approx(0.25, abs=0.05)


def test_home_is_the_same_in_every_process() -> None:
    """Several servers before one pool agree: the hash has no salt."""
    members = [Member(f"vllm:qwen3-4b@{n}") for n in range(1, 5)]

    assert [name.rpartition("@")[2] for name in homes(members, 6)] == ["4", "3", "4", "4", "3", "2"]


def test_a_conversation_that_all_share_spreads_no_further_than_needed() -> None:
    """One prompt for everybody fills its home to the bound, then the next one by hash."""
    members = [Member(f"p:{n}") for n in range(3)]
    for _ in range(90):
        found = home(members, b"the same system prompt")
        assert found is not None
        found.outstanding += 1
    loads = sorted(one.outstanding for one in members)

    assert sum(loads) == 90
    assert loads[-1] <= ceil(BOUND * 90 / 3) < loads[-1] + loads[0]
