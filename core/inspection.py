"""Providers are looked over before they are believed."""

import re
from collections.abc import Iterable, Sequence

from junctor.core.cards import ModelCard
from junctor.core.errors import PluginError
from junctor.core.offers import Offered
from junctor.core.providers import PROTOCOLS, Provider

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def checked(plugin: str, provider: Provider) -> Offered:
    """
    Look a provider over.

    Raises:
        PluginError: it has no proper name or life cycle, its cards are not cards or not its own,
            or a card claims a capability whose method is missing.

    """
    name = getattr(provider, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginError(
            f"A provider needs a `name` of lower-case letters, digits, '.', '_' and '-'; "
            f"{type(provider).__name__} has {name!r}."
        )
    _need(provider, name, ("models", "start", "close"), "every provider has it")
    cards = tuple(provider.models())
    for card in cards:
        _check_card(provider, name, card)
    _check_unique(name, [card.id for card in cards])
    return Offered(plugin=plugin, provider=provider, name=name, cards=cards)


def _check_card(provider: Provider, name: str, card: object) -> None:
    if not isinstance(card, ModelCard):
        raise PluginError(f"Provider {name!r}: models() must return ModelCards, not {card!r}.")
    if card.provider != name or not card.id:
        raise PluginError(
            f"Provider {name!r}: a card must name its provider and an id; got {card.name!r}."
        )
    for capability in sorted(card.capabilities):
        protocol = PROTOCOLS.get(capability)
        if protocol is None:
            raise PluginError(f"Model {card.name!r} claims an unknown capability {capability!r}.")
        methods = tuple(method for method in vars(protocol) if not method.startswith("_"))
        _need(provider, name, methods, f"the card {card.id!r} claims {str(capability)!r}")


def _need(provider: Provider, name: str, methods: Iterable[str], why: str) -> None:
    for method in methods:
        if not callable(getattr(provider, method, None)):
            raise PluginError(f"Provider {name!r} has no method `{method}`, but {why}.")


def _check_unique(name: str, ids: list[str]) -> None:
    twice = sorted({model for model in ids if ids.count(model) > 1})
    if twice:
        raise PluginError(f"Provider {name!r} has more than one card of {', '.join(twice)}.")


def check_clashes(new: Sequence[Offered], before: Sequence[Offered]) -> None:
    """
    Compare one plugin's providers with each other and with those of the plugins before it.

    Within one plugin several providers may carry a model of the same id.

    Raises:
        PluginError: two providers have one name, or another plugin has a model of the same id.

    """
    owners = {one.name: one.plugin for one in before}
    models = {card.id: one.plugin for one in before for card in one.cards}
    for one in new:
        if one.name in owners:
            raise PluginError(_clash("provider", one.name, one.plugin, owners[one.name]))
        owners[one.name] = one.plugin
        for card in one.cards:
            owner = models.get(card.id, one.plugin)
            if owner != one.plugin:
                raise PluginError(_clash("model", card.id, one.plugin, owner))


def _clash(kind: str, name: str, plugin: str, owner: str) -> str:
    if plugin == owner:
        return f"Plugin {plugin!r} offers more than one {kind} called {name!r}."
    return (
        f"Plugin {plugin!r} offers a {kind} {name!r}, which plugin {owner!r} offers already. "
        f"Rename it in [plugins.{plugin}] or [plugins.{owner}], or deny one of the two."
    )
