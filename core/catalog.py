"""What can be asked for: every card, every provider, and what a model name stands for."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import field, frozen

from junctor.conf.settings import Model
from junctor.core.balance import Balance
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
class Pool:
    """Models that share the load of a name; one by itself is a pool, too."""

    members: Mapping[str, float]
    """Their weights, by `provider:model`, as far as they are served; never empty."""
    balance: Balance = "least-outstanding"
    has_affinity: bool = True
    """Whether requests that begin alike are brought to the same member."""


Route = tuple[Pool, ...]
"""What a name stands for: the pool that is tried first, then those behind it."""


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
    _pools: Mapping[str, Pool] = field(factory=dict, repr=False)
    """By `provider:model`, replicas together by the name that they share."""
    _public: Mapping[str, Route] = field(factory=dict, repr=False)
    _by_id: Mapping[str, Route] = field(factory=dict, repr=False)

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
        pools = _pooled(names, cards)
        return cls(
            cards=MappingProxyType(cards),
            providers=MappingProxyType({provider.name: provider for provider in serving}),
            chains=MappingProxyType(dict(models)),
            absences=MappingProxyType(dict(absences)),
            pools=MappingProxyType(pools),
            public=MappingProxyType({name: _route(one, pools) for name, one in models.items()}),
            by_id=MappingProxyType(_grouped(pools)),
        )

    def resolve(self, model: str) -> tuple[str, ...]:
        """
        Return the `provider:model` names behind a name, first choice first; empty if unknown.

        A public name of `[models]` counts before `provider:model`, and that before a bare id. A
        name may be absent (see `absence`), but a provider that is here and does not serve the
        model makes the name unknown. In the place of a model that has replicas stand all of them.
        """
        return tuple(dict.fromkeys(name for pool in self.route(model) for name in pool.members))

    def route(self, model: str) -> Route:
        """Return the same as pools, of which each is balanced by itself; empty if unknown."""
        found = self._public.get(model)
        if found is not None:
            return found
        if self.serves(model) or self._is_of_absent(model):
            return (self.pool(model),)
        return self._by_id.get(model, ())

    def has_affinity(self, model: str) -> bool:
        """Say whether a name leads to models between which an affinity of the request decides."""
        for pool in self.route(model):  # noqa: SIM110  # a third of the time of `any`
            if pool.has_affinity and len(pool.members) > 1:
                return True
        return False

    def pool(self, name: str) -> Pool:
        """Return the model `provider:model`, which may be absent: with its replicas, or by itself."""
        return self._pools.get(name) or Pool(members={name: 1.0})

    def serves(self, name: str) -> bool:
        """Say whether `provider:model` is a card, or the shared name of replicas."""
        return name in self.cards or (
            name in self._pools and not self._pools[name].members.keys().isdisjoint(self.cards)
        )

    def shared(self) -> Mapping[str, tuple[ModelCard, ...]]:
        """Return the cards by the name under which callers know them, replicas together."""
        groups: dict[str, list[ModelCard]] = {}
        for card in self.cards.values():
            groups.setdefault(card.shared_name, []).append(card)
        return {name: tuple(cards) for name, cards in groups.items()}

    def known(self, *capabilities: Capability) -> tuple[str, ...]:
        """Return the names that may be asked for one of these: public ones, then the others."""
        wanted = frozenset(capabilities)
        able = {name for name, card in self.cards.items() if card.capabilities & wanted}
        own = dict.fromkeys(self.cards[name].shared_name for name in self.cards if name in able)
        public = [name for name in self.chains if not able.isdisjoint(self.resolve(name))]
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


def _pooled(names: Iterable[str], cards: Mapping[str, ModelCard]) -> dict[str, Pool]:
    """Return each name with what it means: all replicas for a shared one, itself for another."""
    members: dict[str, dict[str, float]] = {}
    for name in names:
        members.setdefault(name, {})[name] = 1.0
    for card in cards.values():
        if card.replica_of:
            members.setdefault(card.shared_name, {})[card.name] = 1.0
    return {name: Pool(members=MappingProxyType(one)) for name, one in members.items()}


def _route(model: Model, pools: Mapping[str, Pool]) -> Route:
    def expanded(names: Iterable[str]) -> Pool:
        members = {
            member: model.weights.get(name, 1.0)
            for name in names
            for member in (pools[name].members if name in pools else (name,))
        }
        return Pool(
            members=MappingProxyType(members),
            balance=model.balance,
            has_affinity=model.affinity,
        )

    pool = (expanded(model.pool),) if model.pool else ()
    return (*pool, *(expanded([name]) for name in dict.fromkeys(model.chain)))


def _grouped(pools: Mapping[str, Pool]) -> dict[str, Route]:
    groups: dict[str, list[Pool]] = {}
    for name, pool in pools.items():
        groups.setdefault(name.partition(":")[2], []).append(pool)
    return {bare: tuple(group) for bare, group in groups.items()}
