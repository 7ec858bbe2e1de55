from junctor.conf.settings import Model
from junctor.core.catalog import Absence
from junctor.core.inspection import checked
from junctor.core.offers import Offer, serving
from junctor.core.plugin_status import PluginStatus, Stage
from junctor.core.testing.fakes import FakeTranscriber, fake_card


def offered(plugin, name):
    return checked(plugin, FakeTranscriber(name, cards=[fake_card("m", provider=name)]))


def test_catalog_has_what_is_offered_and_what_is_not():
    """The three things that policy asks for."""
    offer = Offer(offered=(offered("acme", "p"),), absences={"q": Absence(reason="turned off")})

    catalog = offer.catalog({"public": Model(chain=("p:m",))})

    assert (list(catalog.cards), catalog.resolve("public"), catalog.absence("q:m")) == (
        ["p:m"],
        ("p:m",),
        "turned off",
    )


def test_dropped_providers_are_told_by_identity():
    """An equal name is not the same engine."""
    kept, old, new = offered("a", "a"), offered("b", "b"), offered("b", "b")

    dropped = Offer(offered=(kept, old)).dropped_by(Offer(offered=(kept, new)))

    assert dropped == (old.provider,)


def test_plugin_is_whole_when_nothing_of_it_failed():
    """A plugin that nobody knows is not."""
    well = PluginStatus(name="well")
    offer = Offer(statuses=(well, PluginStatus(name="sick").failed(Stage.START, "no")))

    assert [offer.is_whole(name) for name in ("well", "sick", "none")] == [True, False, False]


def test_status_names_what_serves():
    """Providers, and their models in full."""
    status = serving(PluginStatus(name="acme"), [offered("acme", "p"), offered("acme", "q")])

    assert (status.providers, status.models) == (("p", "q"), ("p:m", "q:m"))
