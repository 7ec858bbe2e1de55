"""One immutable state of the configuration: settings, cards, providers and the planner over them."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from attrs import field, frozen

from junctor.conf.settings import Settings, Team
from junctor.core.cards import Capability, ModelCard
from junctor.core.catalog import Catalog
from junctor.core.dispatch import Dispatcher
from junctor.core.policy import Planner
from junctor.core.providers import Provider, WindowTranscriber
from junctor.core.windows import Batch, WindowDesk


@frozen(kw_only=True)
class PublicModel:
    """A model name that callers may use, and the cards that can stand behind it."""

    name: str
    description: str
    cards: tuple[ModelCard, ...]
    """In the order in which they are tried; never empty."""
    is_default: bool = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What any of its cards can do."""
        return frozenset().union(*(card.capabilities for card in self.cards))

    @property
    def names(self) -> frozenset[str]:
        """Every name by which an allow-list may mean it."""
        cards = (
            name
            for card in self.cards
            for name in (card.name, card.id, card.shared_name, card.shared_id)
        )
        return frozenset({self.name, *cards})

    @property
    def owned_by(self) -> str:
        """The provider of the first choice."""
        return self.cards[0].provider


@frozen(kw_only=True, eq=False)
class Snapshot:
    """What a request sees from admission to its end; a reload makes another one."""

    settings: Settings
    catalog: Catalog
    planner: Planner
    dispatcher: Dispatcher
    observe_windows: Callable[[Batch], object] = lambda _: None
    """Told of windows of live sessions that were decoded together."""
    public_models: tuple[PublicModel, ...] = field(init=False)
    _desks: dict[str, WindowDesk] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "public_models", tuple(self._public().values()))

    def provider(self, card: ModelCard) -> Provider:
        """Return the provider of a card of this snapshot."""
        return self.catalog.providers[card.provider]

    def desk(self, card: ModelCard) -> WindowDesk:
        """Return where windows of live sessions wait for a model that transcribes them."""
        if card.name not in self._desks:
            provider = cast("WindowTranscriber", self.provider(card))
            self._desks[card.name] = WindowDesk(
                provider=provider,
                model=card.id,
                batch=card.window_batch,
                observe=self.observe_windows,
            )
        return self._desks[card.name]

    def models_for(self, team: Team) -> Sequence[PublicModel]:
        """Return the models that a team may use."""
        allowed = set(team.allowed_models)
        if not allowed:
            return self.public_models
        return [model for model in self.public_models if not allowed.isdisjoint(model.names)]

    def _public(self) -> Mapping[str, PublicModel]:
        """
        Name the configured ones, then each model by its bare id, in full where that is taken.

        Replicas are one model, by the name that they share.
        """
        models: dict[str, PublicModel] = {}
        for name, model in self.settings.models.items():
            cards = tuple(
                card
                for one in self.catalog.resolve(name)
                if (card := self.catalog.cards.get(one)) is not None
            )
            if cards:
                models[name] = PublicModel(
                    name=name,
                    description=model.description or cards[0].summary,
                    cards=cards,
                    is_default=name == self.settings.default_model,
                )
        for full, cards in self.catalog.shared().items():
            name = full if cards[0].shared_id in models else cards[0].shared_id
            models[name] = PublicModel(
                name=name,
                description=cards[0].summary,
                cards=cards,
                is_default=name == self.settings.default_model,
            )
        return models
