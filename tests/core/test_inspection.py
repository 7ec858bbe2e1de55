import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.errors import PluginError
from junctor.core.inspection import check_clashes, checked
from junctor.core.offers import Offered
from junctor.core.testing.fakes import FakeTranscriber, fake_card


class Listener:
    """A provider that can only transcribe."""

    def __init__(self, name="listener", cards=()):
        self.name = name
        self.cards = cards

    def models(self):
        return self.cards

    async def start(self):
        pass

    async def close(self):
        pass

    async def transcribe(self, request, /):
        pass


def card(model="m", provider="listener", capabilities=(Capability.TRANSCRIBE,)):
    return fake_card(model, provider=provider, capabilities=capabilities)


def refusal(provider) -> str:
    with pytest.raises(PluginError) as caught:
        checked("acme", provider)
    return str(caught.value)


def test_good_provider_is_taken_with_its_cards():
    """What it offers is asked for once."""
    provider = Listener(cards=[card()])

    assert checked("acme", provider) == Offered(
        plugin="acme", provider=provider, name="listener", cards=(card(),)
    )


@pytest.mark.parametrize("name", ["", "Upper", "a:b", "a b", None, 3, "-a"])
def test_provider_needs_a_proper_name(name):
    """It stands in `provider:model` and in the settings."""
    assert refusal(Listener(name)).endswith(f"Listener has {name!r}.")


def test_object_without_a_name_is_no_provider():
    """A plugin that returns anything else is told what a provider is."""
    assert "object has None" in refusal(object())


@pytest.mark.parametrize("method", ["models", "start", "close"])
def test_provider_needs_its_life_cycle(method):
    """Each method of the protocol is looked for."""
    provider = Listener()
    setattr(provider, method, None)

    assert refusal(provider) == (
        f"Provider 'listener' has no method `{method}`, but every provider has it."
    )


@pytest.mark.parametrize(
    ("capability", "method"),
    [
        (Capability.CHAT, "chat"),
        (Capability.STREAM_TRANSCRIBE, "stream_transcribe"),
        (Capability.IDENTIFY_LANGUAGE, "identify_language"),
    ],
)
def test_claimed_capability_needs_its_method(capability, method):
    """A card cannot promise what the object does not have."""
    provider = Listener(cards=[card(capabilities=[capability])])

    assert refusal(provider) == (
        f"Provider 'listener' has no method `{method}`, "
        f"but the card 'm' claims '{capability.value}'."
    )


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        (["m"], "must return ModelCards, not 'm'"),
        ([card(provider="other")], "got 'other:m'"),
        ([card("")], "got 'listener:'"),
        ([card(), card("n"), card()], "more than one card of m"),
        ([evolve(card(), capabilities=frozenset({"telepathy"}))], "unknown capability 'telepathy'"),
    ],
)
def test_wrong_cards_are_refused(cards, said):
    """Policy reads cards and nothing else, so they must be right."""
    assert said in refusal(Listener(cards=cards))


def offered(plugin, provider, *models):
    cards = [card(model, provider) for model in models]
    return checked(plugin, FakeTranscriber(provider, cards=cards))


def test_one_plugin_may_serve_a_model_twice():
    """Several base URLs of one API carry the same model ids."""
    new = [offered("openai", "paris", "m"), offered("openai", "berlin", "m")]

    check_clashes(new, [offered("whisper", "whisper", "n")])

    assert [one.name for one in new] == ["paris", "berlin"]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (("acme", "other", "m"), "a model 'm', which plugin 'whisper' offers already"),
        (("acme", "whisper", "n"), "a provider 'whisper', which plugin 'whisper' offers already"),
    ],
)
def test_clash_between_plugins_names_both(new, said):
    """The operator decides which of the two to rename or deny."""
    with pytest.raises(PluginError) as caught:
        check_clashes([offered(*new)], [offered("whisper", "whisper", "m")])

    assert ("'acme'" in str(caught.value), said in str(caught.value)) == (True, True)


def test_one_plugin_cannot_have_two_providers_of_one_name():
    """A provider's name stands for one object."""
    with pytest.raises(PluginError, match="'acme' offers more than one provider called 'p'"):
        check_clashes([offered("acme", "p", "m"), offered("acme", "p", "n")], [])
