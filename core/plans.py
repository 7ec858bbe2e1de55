"""A wish, and the plan that policy makes of it: pure data."""

from enum import StrEnum

from attrs import frozen

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
    bytes: int = 0
    """Size of the upload."""
    seconds: float = 0.0
    """Length of the media, seconds."""
    team: str = ""
    allowed_models: tuple[str, ...] = ()
    """The team's allow-list; empty for all."""


class Fault(StrEnum):
    """On whose side the reason for leaving a model out lies."""

    REQUEST = "request"
    """Another request would be served."""
    TEAM = "team"
    """Another team would be served."""
    SERVER = "server"
    """The operator has to act."""
    TEMPORARY = "temporary"
    """It may be different in a minute."""


@frozen(kw_only=True)
class Exclusion:
    """A model left out of a plan, and why."""

    model: str
    """`provider:model`."""
    reason: str
    fault: Fault
    max_seconds: float | None = None
    """The cap that the audio exceeds, seconds, where that is the reason."""
    max_bytes: int | None = None
    """The cap that the upload exceeds, bytes, where that is the reason."""

    def __str__(self) -> str:
        return f"{self.model} ({self.reason})"


class Place(StrEnum):
    """Why a candidate stands where it stands."""

    REQUESTED = "requested"
    FALLBACK = "fallback of the requested model"
    PREFERRED = "preferred by the tier"
    TIER_CHAIN = "fallback chain of the tier"
    RANKED = "ranked by the tier's weights"


@frozen(kw_only=True)
class Candidate:
    """One model in a plan, and why it stands there."""

    card: ModelCard
    place: Place


@frozen(kw_only=True)
class Plan:
    """An ordered list of candidates, and who was left out and why."""

    candidates: tuple[Candidate, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
