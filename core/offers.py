"""What plugins offer for one snapshot of the settings."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve, frozen

from junctor.conf.settings import Model
from junctor.core.cards import ModelCard
from junctor.core.catalog import Absence, Catalog
from junctor.core.plugin_status import PluginStatus, State
from junctor.core.providers import Provider


@frozen(kw_only=True)
class Offered:
    """One provider, whose it is, and its cards, asked for once."""

    plugin: str
    provider: Provider
    name: str
    cards: tuple[ModelCard, ...]
    is_started: bool = False


@frozen(kw_only=True)
class Offer:
    """All providers of one snapshot, in the order of their plugins; `start_all` makes it serve."""

    offered: tuple[Offered, ...] = ()
    statuses: tuple[PluginStatus, ...] = ()
    """One per plugin, in loading order, those that were never loaded included."""
    absences: Mapping[str, Absence] = MappingProxyType({})
    """Why providers, or plugins that would bring some, are not in `offered`."""
    tables: Mapping[str, object] = MappingProxyType({})
    """The raw table each plugin was asked with."""

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers themselves."""
        return tuple(one.provider for one in self.offered)

    def catalog(self, models: Mapping[str, Model]) -> Catalog:
        """Return the catalog of what is offered, with the public names of `settings.models`."""
        return Catalog.of(self.providers, models, absences=self.absences)

    def dropped_by(self, newer: "Offer") -> tuple[Provider, ...]:
        """Return the providers that the newer offer does not keep; close them when idle."""
        kept = {id(provider) for provider in newer.providers}
        return tuple(provider for provider in self.providers if id(provider) not in kept)

    def of_plugin(self, plugin: str) -> tuple[Offered, ...]:
        """Return what one plugin offers."""
        return tuple(one for one in self.offered if one.plugin == plugin)

    def is_whole(self, plugin: str) -> bool:
        """Say whether everything that the plugin offered is here."""
        return any(one.name == plugin and one.status is State.OK for one in self.statuses)


def serving(status: PluginStatus, offered: Sequence[Offered]) -> PluginStatus:
    """Return the status with the names of what the plugin serves."""
    return evolve(
        status,
        providers=tuple(one.name for one in offered),
        models=tuple(card.name for one in offered for card in one.cards),
    )
