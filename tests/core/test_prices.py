"""What a model of several trades costs, and that one without ears may chat."""

from attrs import evolve

from junctor.conf.settings import Policy
from junctor.core.cards import Capability
from junctor.core.catalog import Catalog
from junctor.core.plans import Wish
from junctor.core.policy import Planner
from junctor.core.testing.fakes import FakeTranscriber, fake_card

TRADES = [Capability.CHAT, Capability.REVISE_TRANSCRIPT]
CHATTER = evolve(fake_card("m", provider="p", capabilities=TRADES), prompt_price=2.0)


class Calm:
    """Health that has seen nothing."""

    def is_open(self, model: str, _: Capability) -> bool:
        return False

    def pause(self, _model: str, _capability: Capability) -> float:
        return 0.0

    def latency(self, model: str, _: Capability) -> float | None:
        return None

    def outstanding(self, model: str, _: Capability) -> int:
        return 0

    def is_full(self, model: str, _: Capability) -> bool:
        return False


def planner(*cards) -> Planner:
    catalog = Catalog.of([FakeTranscriber("p", cards=list(cards))], {})
    return Planner(catalog=catalog, policy=Policy(), observed=Calm())


def test_each_trade_has_its_price():
    """Tokens of a prompt cost their own price, minutes of audio theirs."""
    card = evolve(CHATTER, price=0.5)

    assert 2.0 == card.price_of(Capability.CHAT)
    assert 0.5 == card.price_of(Capability.REVISE_TRANSCRIPT)


def test_without_a_price_of_prompts_the_one_price_counts():
    """A card that knows chat alone names its price as `price`."""
    assert 3.0 == evolve(CHATTER, price=3.0, prompt_price=None).price_of(Capability.CHAT)


def test_who_revises_may_chat():
    """A model without ears is asked to chat like any other, fallbacks behind it."""
    other = evolve(CHATTER, id="other", quality=0.1)
    plan = planner(CHATTER, other).plan(Wish(capability=Capability.CHAT))

    assert ["p:m", "p:other"] == [one.card.name for one in plan.candidates]


def test_the_dearer_chat_comes_later():
    """Of two that are alike, the one whose prompts cost less comes first."""
    cheap = evolve(CHATTER, id="zz", prompt_price=0.1)
    plan = planner(CHATTER, cheap).plan(Wish(capability=Capability.CHAT))

    assert ["p:zz", "p:m"] == [one.card.name for one in plan.candidates]
