CONFIG = """
extends = []

[loader]
allow = ["acme"]

[models.good]
chain = ["acme:one", "gone:two"]
description = "The good one."
"""

PLUGIN = """
from junctor.core.cards import Capability
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber, fake_card

@hookimpl
def junctor_providers(settings):
    card = fake_card("one", provider="acme", capabilities=[Capability.CHAT])
    return [FakeTranscriber("acme", cards=[card])]
"""

REPLICAS = """
from attrs import evolve
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import FakeTranscriber, fake_card

@hookimpl
def junctor_providers(settings):
    cards = [evolve(fake_card(f"q@{n}", provider="acme"), replica_of="q") for n in (1, 2)]
    return [FakeTranscriber("acme", cards=cards)]
"""


def test_models_are_listed_for_programs(junctor, shelf, config):
    """The shape is stable: public names with their chains, and all cards."""
    shelf.add("acme", PLUGIN)

    listed = junctor.json("models", "list", "--config", config(CONFIG))

    assert listed["names"] == [
        {
            "name": "good",
            "description": "The good one.",
            "pool": [],
            "chain": [
                {"model": "acme:one", "absence": None},
                {"model": "gone:two", "absence": "not installed"},
            ],
        }
    ]
    assert [
        (card["model"], card["capabilities"], card["locales"]) for card in listed["models"]
    ] == [("acme:one", ["chat"], None)]


def test_models_are_listed_for_people(junctor, shelf, config):
    """Chains with what is missing, then the cards."""
    shelf.add("acme", PLUGIN)

    shown = junctor("models", "list", "--config", config(CONFIG)).stdout

    assert "good          acme:one, gone:two (not installed)" in shown
    assert "acme:one   chat           any         0.5       A fake for tests." in shown


def test_replicas_are_one_model(junctor, shelf, config):
    """Listed once, under the name that they share; programs learn theirs, too."""
    shelf.add("acme", REPLICAS)
    path = config(CONFIG.replace("chain", "pool").replace("acme:one", "acme:q"))

    listed = junctor.json("models", "list", "--config", path)
    shown = junctor("models", "list", "--config", path).stdout

    assert [(one["model"], one["replicas"]) for one in listed["models"]] == [
        ("acme:q", ["acme:q@1", "acme:q@2"])
    ]
    assert "good   acme:q, gone:two (not installed)" in shown
    assert "A fake for tests. (2 replicas)" in shown
