import pytest
from attrs import evolve

from junctor.conf.settings import Model
from junctor.core.cards import Capability
from junctor.core.catalog import Absence, Catalog
from junctor.core.testing.fakes import FakeTranscriber, fake_card


@pytest.fixture(name="catalog")
def _catalog():
    speech, chat = [Capability.TRANSCRIBE], [Capability.CHAT]
    near = [fake_card("small", provider="near", capabilities=speech)]
    far = [
        fake_card("small", provider="far", capabilities=speech),
        fake_card("wise", provider="far", capabilities=chat),
    ]
    return Catalog.of(
        [FakeTranscriber("near", cards=near), FakeTranscriber("far", cards=far)],
        {
            "public": Model(chain=("near:small", "gone:big", "far:small", "near:small")),
            "wise": Model(chain=("near:small",)),
            "lost": Model(chain=("gone:big",)),
        },
        absences={
            "gone": Absence(reason="failed to start", detail="/secret/path", models=("gone:big",))
        },
    )


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("public", ("near:small", "gone:big", "far:small")),
        ("wise", ("near:small",)),
        ("far:wise", ("far:wise",)),
        ("small", ("near:small", "far:small")),
        ("big", ("gone:big",)),
        ("gone:whatever", ("gone:whatever",)),
        ("lost", ("gone:big",)),
        ("far:nothing", ()),
        ("nowhere:small", ()),
        ("nothing", ()),
        ("gone:", ()),
        ("", ()),
    ],
)
def test_name_stands_for_candidates(catalog, model, names):
    """Public names first, then `provider:model`, then bare ids; what is absent stays known."""
    assert catalog.resolve(model) == names


@pytest.mark.parametrize(
    ("capabilities", "names"),
    [
        ([Capability.TRANSCRIBE], ("public", "wise", "near:small", "far:small")),
        ([Capability.CHAT], ("far:wise",)),
        ([Capability.IDENTIFY_LANGUAGE], ()),
        (
            [Capability.TRANSCRIBE, Capability.CHAT],
            ("public", "wise", "near:small", "far:small", "far:wise"),
        ),
    ],
)
def test_known_names_are_those_that_can_serve(catalog, capabilities, names):
    """A public name whose whole chain is absent is not offered as a way out."""
    assert catalog.known(*capabilities) == names


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone:big", "failed to start"),
        ("gone", "failed to start"),
        ("far:nothing", "far serves no model 'nothing'"),
        ("nowhere:small", "not installed"),
    ],
)
def test_absence_is_said_without_what_is_for_operators(catalog, name, reason):
    """Details may hold paths, and a caller reads the reason."""
    assert catalog.absence(name) == reason


def test_operators_read_the_whole_absence(catalog):
    """Reason and detail together."""
    assert str(catalog.absences["gone"]) == "failed to start: /secret/path"


def test_cards_and_providers_are_found_by_name(catalog):
    """In the order in which the providers were given."""
    assert (list(catalog.cards), list(catalog.providers)) == (
        ["near:small", "far:small", "far:wise"],
        ["near", "far"],
    )


def test_catalog_cannot_be_changed(catalog):
    """It is a snapshot."""
    with pytest.raises(TypeError):
        catalog.cards["x"] = None


@pytest.fixture(name="replicated")
def _replicated():
    cards = [
        evolve(fake_card(f"q@{n}", provider="v", capabilities=[Capability.CHAT]), replica_of="q")
        for n in (1, 2)
    ]
    other = fake_card("q", provider="w", capabilities=[Capability.CHAT])
    pool = Model(pool=("v:q", "w:q", "gone:q"), chain=("w:q",), weights={"v:q": 2.0})
    return Catalog.of(
        [FakeTranscriber("v", cards=cards), FakeTranscriber("w", cards=[other])], {"public": pool}
    )


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("v:q", ("v:q@1", "v:q@2")),
        ("v:q@2", ("v:q@2",)),
        ("q@2", ("v:q@2",)),
        ("q", ("w:q", "v:q@1", "v:q@2")),
        ("public", ("v:q@1", "v:q@2", "w:q", "gone:q")),
    ],
)
def test_model_stands_for_its_replicas(replicated, model, names):
    """In place, wherever it is named; each by itself can still be asked for."""
    assert sorted(replicated.resolve(model)) == sorted(names)


def test_pool_weighs_replicas_as_their_model(replicated):
    """A weight is that of each of them; the chain stands behind."""
    first, second = replicated.route("public")

    assert first.members == {"v:q@1": 2.0, "v:q@2": 2.0, "w:q": 1.0, "gone:q": 1.0}
    assert dict(second.members) == {"w:q": 1.0}


def test_replicas_are_known_by_the_name_that_they_share(replicated):
    """Callers need not know how many there are."""
    assert replicated.known(Capability.CHAT) == ("public", "v:q", "w:q")
    assert [len(cards) for cards in replicated.shared().values()] == [2, 1]
    assert [replicated.serves(one) for one in ("v:q", "v:q@1", "v:r", "gone:q")] == [
        True,
        True,
        False,
        False,
    ]
