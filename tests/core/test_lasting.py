"""A plan that is remembered is the one that would be made."""

from collections.abc import Sequence

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from junctor.conf.settings import Model, Policy
from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.catalog import Catalog
from junctor.core.lasting import kind_of
from junctor.core.plans import Plan, Wish
from junctor.core.policy import Planner
from junctor.core.testing.fakes import FakeTranscriber, fake_card

CHATS = frozenset({Capability.CHAT})
NAMES = ("a:one", "b:two", "c:three")


@define
class Seen:
    """What health would say."""

    open: frozenset[str] = frozenset()
    asked: list[str] = field(factory=list)

    def is_open(self, model: str, _: Capability) -> bool:
        self.asked.append(model)
        return model in self.open

    def pause(self, _model: str, _capability: Capability) -> float:
        return 0.0

    def latency(self, _model: str, _capability: Capability) -> float | None:
        return None

    def outstanding(self, _model: str, _capability: Capability) -> int:
        return 0

    def is_full(self, _model: str, _capability: Capability) -> bool:
        return False


def card(name: str, *features: Feature, context: int | None, answer: int | None) -> ModelCard:
    provider, _, model = name.partition(":")
    return evolve(
        fake_card(model, provider=provider),
        capabilities=CHATS,
        features=frozenset(features),
        context_tokens=context,
        max_output_tokens=answer,
    )


def planner(cards: Sequence[ModelCard], seen: Seen) -> Planner:
    providers = [FakeTranscriber(one.provider, cards=[one]) for one in cards]
    chains = {
        "all": Model(chain=(*NAMES, "d:absent")),
        "pool": Model(pool=NAMES[:2], chain=NAMES[2:]),
        "gone": Model(chain=("d:absent",)),
    }
    catalog = Catalog.of(providers, chains)
    return Planner(
        catalog=catalog, policy=Policy(max_candidates=2), observed=seen, random=lambda: 0.5
    )


def told(plan: Plan) -> tuple[object, ...]:
    return plan.candidates, plan.excluded, [one.name for one in plan.members]


bounds = st.none() | st.integers(1, 20)
features = st.frozensets(st.sampled_from([Feature.TOOLS, Feature.IMAGES]))
decks = st.tuples(
    *(
        st.builds(
            lambda name, has, context, answer: card(name, *has, context=context, answer=answer),
            st.just(name),
            features,
            bounds,
            bounds,
        )
        for name in NAMES
    )
)
moments = st.tuples(
    st.builds(
        Wish,
        capability=st.just(Capability.CHAT),
        model=st.sampled_from(["all", "pool", "gone", "one", "b:two"]),
        features=features,
        tokens=st.integers(0, 20),
        output_tokens=st.integers(0, 20),
        allowed_models=st.sampled_from([(), ("all",), ("a:one",), ("b", "c")]),
    ),
    st.frozensets(st.sampled_from(NAMES)),
)


@given(decks, st.lists(moments, min_size=2, max_size=12))
def test_it_makes_no_difference_what_was_planned_before(
    cards: Sequence[ModelCard], asked: list[tuple[Wish, frozenset[str]]]
) -> None:
    """Whoever was planned for, and whatever was left alone then: the plan is that of a new planner."""
    seen = Seen()
    old = planner(cards, seen)
    for wish, seen.open in asked:
        made = old.plan(wish)

        assert told(made) == told(planner(cards, seen).plan(wish))


def test_it_is_made_once() -> None:
    """The second of two wishes of a kind gets the very plan of the first."""
    made = planner([card("a:one", context=100, answer=None)], Seen())
    first = made.plan(Wish(capability=Capability.CHAT, model="one", tokens=5))

    assert made.plan(Wish(capability=Capability.CHAT, model="one", tokens=50)) is first


def test_who_fails_later_is_left_out() -> None:
    """A breaker that opens after the plan was made counts at once, and so does its closing."""
    seen = Seen()
    made = planner([card(name, context=None, answer=None) for name in NAMES], seen)
    wish = Wish(capability=Capability.CHAT, model="all")
    plans: list[Plan] = []
    for seen.open in (frozenset[str](), frozenset({"a:one"}), frozenset[str]()):
        plans.append(made.plan(wish))

    assert [one.candidates[0].card.name for one in plans] == ["a:one", "b:two", "a:one"]


def test_wishes_without_a_kind() -> None:
    """What is to be heard, or is not named, is planned for anew each time."""
    assert kind_of(Wish(capability=Capability.TRANSCRIBE, model="one")) is None
    assert kind_of(Wish(capability=Capability.CHAT)) is None
    assert kind_of(Wish(capability=Capability.CHAT, model="one", language="en")) is None
