"""A wish, and the plan that policy makes of it: pure data."""

from attrs import field, frozen

from junctor.core.cards import Capability, Feature, ModelCard, Tier


@frozen(kw_only=True)
class Wish:
    """What a request needs of a model, in policy's terms: no payload, no wire format."""

    capability: Capability
    model: str | None = None
    """A public model name, a bare model id or `provider:model`; None to let policy choose."""
    tier: Tier | None = None
    """None takes the deployment's default."""
    language: str | None = None
    """BCP-47; None to detect."""
    features: frozenset[Feature] = frozenset()
    """Features without which the answer would be wrong."""
    media_type: str | None = None
    bytes: int = 0
    """Size of the upload."""
    seconds: float = 0.0
    """Length of the media."""
    team: str = ""
    allowed_models: tuple[str, ...] = ()
    """The team's allow-list; empty for all."""


@frozen(kw_only=True)
class Exclusion:
    """A model left out of a plan, and why."""

    model: str
    """`provider:model`."""
    reason: str
    is_temporary: bool = False
    """Whether it may be different in a minute (breaker open), or never for this wish."""

    def __str__(self) -> str:
        return f"{self.model} ({self.reason})"


@frozen(kw_only=True)
class Candidate:
    """One model in a plan, and why it stands there."""

    card: ModelCard
    reason: str
    """`requested`, `preferred`, `fallback`, `tier chain`, `ranked`."""


@frozen(kw_only=True)
class Plan:
    """An ordered list of candidates, and who was left out and why."""

    candidates: tuple[Candidate, ...] = ()
    excluded: tuple[Exclusion, ...] = field(default=())
