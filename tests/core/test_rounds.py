import pytest

from junctor.conf.settings import Settings
from junctor.core.catalog import Absence
from junctor.core.errors import NotConfiguredError
from junctor.core.offers import Offer
from junctor.core.plugin_status import PluginStatus, Stage, State
from junctor.core.rounds import Round
from junctor.core.testing.fakes import FakeTranscriber, fake_card

ACME = PluginStatus(name="acme", distribution="acme-dist", version="1.0")


def fake(name="acme"):
    return FakeTranscriber(name, cards=[fake_card(f"{name}-model", provider=name)])


def asked(hook, *, table=None, previous=None, status=ACME) -> Offer:
    settings = Settings(plugins={} if table is None else {"acme": table})
    asking = Round(settings, previous)
    asking.ask(status, hook)
    return asking.offer()


def sits_out():
    raise NotConfiguredError("set ACME_KEY")


def test_plugin_that_sits_out_is_inactive_with_its_reason():
    """Missing credentials are no failure."""
    offer = asked(sits_out)

    assert [(one.status, one.reason) for one in offer.statuses] == [
        (State.INACTIVE, "set ACME_KEY")
    ]
    assert offer.absences == {"acme": Absence(reason="not configured", detail="set ACME_KEY")}


@pytest.mark.parametrize("hook", [lambda: None, list])
def test_plugin_that_returns_nothing_is_absent(hook):
    """It may still be well: other hooks of it are called."""
    offer = asked(hook)

    assert (offer.statuses, offer.absences["acme"].reason) == ((ACME,), "not configured")


def test_plugin_without_providers_hook_is_well():
    """A plugin may bring a contract, or observe, and nothing else."""
    offer = asked(None)

    assert (offer.statuses, offer.absences) == ((ACME,), {})


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (ACME.failed(Stage.IMPORT, "broken"), "failed to load"),
        (PluginStatus(name="acme", status=State.DENIED, distribution="d"), "turned off"),
    ],
)
def test_plugin_that_was_not_loaded_is_not_asked(status, reason):
    """Its absence is said in words fit for a caller."""
    offer = asked(lambda: [fake()], status=status)

    assert (offer.offered, offer.absences["acme"].reason) == ((), reason)


def test_table_of_no_plugin_is_a_failure():
    """A misspelled plugin name in the file would go unseen."""
    asking = Round(Settings(plugins={"amce": {}, "acme": {}}), None)

    asking.miss(["acme"])
    offer = asking.offer()

    assert [(one.name, one.stage, one.reason) for one in offer.statuses] == [
        (
            "amce",
            Stage.CONFIGURATION,
            "[plugins.amce] is set, but no such plugin is installed. Did you mean 'acme'?",
        )
    ]
    assert offer.absences["amce"].reason == "not installed"


@pytest.mark.parametrize("table", [None, {}, {"key": ["x", {"y": 1}]}])
def test_unchanged_table_keeps_the_same_provider(table):
    """An engine is not restarted for a reload that does not concern it."""
    before = asked(lambda: [fake()], table=table)

    after = asked(lambda: pytest.fail("asked again"), table=table, previous=before)

    assert after.providers[0] is before.providers[0]


@pytest.mark.parametrize(("old", "new"), [(None, {}), ({"a": 1}, {"a": 2}), ({"a": 1}, None)])
def test_changed_table_asks_anew(old, new):
    """The old provider is told apart, to be closed when it is idle."""
    before = asked(lambda: [fake()], table=old)

    after = asked(lambda: [fake()], table=new, previous=before)

    assert before.dropped_by(after) == before.providers


def test_plugin_that_sat_out_is_asked_again():
    """Credentials may have come by another way than its table."""
    before = asked(sits_out)

    after = asked(lambda: [fake()], previous=before)

    assert [one.name for one in after.offered] == ["acme"]


def test_provider_that_is_missing_is_tried_again_beside_its_running_neighbours():
    """What serves is kept; what did not start gets another try."""
    both = asked(lambda: [fake("one"), fake("two")])
    failed = tuple(status.failed(Stage.START, "no") for status in both.statuses)
    before = Offer(offered=both.offered[:1], statuses=failed, tables=both.tables)

    after = asked(lambda: [fake("one"), fake("two")], previous=before)

    assert [one.name for one in after.offered] == ["one", "two"]
    assert [one.provider in both.providers for one in after.offered] == [True, False]


def test_nothing_is_started_by_asking():
    """An offer can be thrown away."""
    provider = fake()

    asked(lambda: [provider])

    assert (provider.starts, provider.closes) == (0, 0)
