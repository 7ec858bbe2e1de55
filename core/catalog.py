"""What can be asked for: every card, every provider, and what a model name stands for."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from attrs import field, frozen

from junctor.conf.settings import Model
from junctor.core.cards import Capability, ModelCard
from junctor.core.providers import Provider

_NO_CHAINS: Mapping[str, Model] = MappingProxyType({})


@frozen(kw_only=True)
class Absence:
    """Why a provider, or a plugin that would bring one, does not serve."""

    reason: str
    """A few words fit for a caller: `not configured`, `failed to start`."""
    detail: str = ""
    """The rest, for operators only; it may hold paths and addresses."""
    models: tuple[str, ...] = ()
    """`provider:model` names that are gone with it, as far as they are known."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


_NO_ABSENCES: Mapping[str, Absence] = MappingProxyType({})


@frozen(kw_only=True)
class Catalog:
    """One immutable snapshot of what is served; made at start-up and at each reload."""

    cards: Mapping[str, ModelCard]
    """By `provider:model`, in the order of the providers."""
    providers: Mapping[str, Provider]
    """By provider name."""
    chains: Mapping[str, Model] = _NO_CHAINS
    """The public model names of `[models]`."""
    absences: Mapping[str, Absence] = _NO_ABSENCES
    """By provider name, or by plugin name where no provider came of it."""
    _by_id: Mapping[str, tuple[str, ...]] = field(factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        providers: Iterable[Provider],
        models: Mapping[str, Model] = _NO_CHAINS,
        *,
        absences: Mapping[str, Absence] = _NO_ABSENCES,
    ) -> "Catalog":
        """
        Make the catalog of the providers that serve.

        Args:
            providers: in the order in which their models should be named.
            models: `settings.models`.
            absences: the providers that should be there, and why they are not.

        """
        serving = tuple(providers)
        cards = {card.name: card for provider in serving for card in provider.models()}
        names = [*cards, *(name for absence in absences.values() for name in absence.models)]
        return cls(
            cards=MappingProxyType(cards),
            providers=MappingProxyType({provider.name: provider for provider in serving}),
            chains=MappingProxyType(dict(models)),
            absences=MappingProxyType(dict(absences)),
            by_id=MappingProxyType(_grouped(names)),
        )

    def resolve(self, model: str) -> tuple[str, ...]:
        """
        Return the `provider:model` names behind a name, first choice first; empty if unknown.

        A public name of `[models]` counts before `provider:model`, and that before a bare id. A
        name may be absent (see `absence`), but a provider that is here and does not serve the
        model makes the name unknown.
        """
        if model in self.chains:
            return tuple(dict.fromkeys(self.chains[model].chain))
        if model in self.cards or self._is_of_absent(model):
            return (model,)
        return self._by_id.get(model, ())

    def known(self, *capabilities: Capability) -> tuple[str, ...]:
        """Return the names that may be asked for one of these: public ones, then the others."""
        wanted = frozenset(capabilities)
        own = tuple(name for name, card in self.cards.items() if card.capabilities & wanted)
        public = tuple(
            name
            for name, model in self.chains.items()
            if any(candidate in own for candidate in model.chain)
        )
        return (*public, *(name for name in own if name not in public))

    def absence(self, name: str) -> str:
        """Say in words fit for a caller why `provider:model` (or a provider) does not serve."""
        provider, _, model = name.partition(":")
        if provider in self.absences:
            return self.absences[provider].reason
        if provider in self.providers and not model:
            return "none of its models does this"
        if provider in self.providers:
            return f"{provider} serves no model {model!r}"
        return "not installed"

    def _is_of_absent(self, model: str) -> bool:
        provider, colon, rest = model.partition(":")
        return bool(colon and rest) and provider in self.absences


def _grouped(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name.partition(":")[2], []).append(name)
    return {bare: tuple(group) for bare, group in groups.items()}
