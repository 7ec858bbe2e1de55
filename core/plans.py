"""A wish, and the plan that policy makes of it: pure data."""

import builtins
from enum import StrEnum

from attrs import frozen
from msgspec import Struct

from junctor.conf.settings import TierPolicy
from junctor.core.balance import Member
from junctor.core.cards import Capability, Feature, ModelCard, Tier

NO_RULES = TierPolicy()


class Choice(Struct, frozen=True, kw_only=True):
    """Whom a caller wants to be served by, in policy's terms."""

    model: str | None = None
    """A public model name, a bare model id or `provider:model`; None to let policy choose."""
    provider: str | None = None
    """A provider, whose best fitting model is meant; not beside `model`."""
    tier: Tier | None = None
    """None takes the deployment's default."""
    wanted: frozenset[Feature] = frozenset()
    """Features that are asked for where there are any, and done without elsewhere."""
    rules: TierPolicy = NO_RULES
    """The request's own policy for the tier; it counts before the team's and the deployment's."""


class Wish(Struct, frozen=True, kw_only=True):
    """What a request needs of a model, in policy's terms: no payload, no wire format."""

    capability: Capability
    model: str | None = None
    """A public model name, a bare model id or `provider:model`; None to let policy choose."""
    provider: str | None = None
    """A provider, whose best fitting model is meant; not beside `model`."""
    tier: Tier | None = None
    """None takes the deployment's default."""
    language: str | None = None
    """BCP-47; None to detect."""
    allowed_languages: tuple[str, ...] = ()
    """BCP-47 tags that detection may choose from; empty for any."""
    features: frozenset[Feature] = frozenset()
    """Features without which the answer would be wrong."""
    wanted: frozenset[Feature] = frozenset()
    """Features that rank a model higher, and that it may lack."""
    bytes: int = 0
    """Size of the upload."""
    seconds: float = 0.0
    """Length of the media, seconds."""
    tokens: int = 0
    """Chat: tokens of the prompt, at least; it may turn out to have more."""
    output_tokens: int = 0
    """Chat: the longest answer that is asked for, tokens; 0 where the request does not say."""
    affinity: builtins.bytes = b""
    """Chat: equal for requests that begin alike, whose cache one replica holds; empty for none."""
    team: str = ""
    allowed_models: tuple[str, ...] = ()
    """The team's allow-list; empty for all."""
    overlays: tuple[TierPolicy, ...] = ()
    """The team's policy for the tier, then the request's own; the last word counts."""


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
    retry_after: float | None = None
    """Seconds after which it takes requests again, where it said so itself."""
    max_tokens: int | None = None
    """The bound that the request exceeds, tokens, where that is the reason."""
    needed_tokens: int = 0
    """Tokens that the request needs of that bound, at least."""
    is_answer_long: bool = False
    """Whether that bound is one of the answer alone: a shorter one would fit."""

    def __str__(self) -> str:
        return f"{self.model} ({self.reason})"


class Place(StrEnum):
    """Why a candidate stands where it stands."""

    REQUESTED = "requested"
    FALLBACK = "fallback of the requested model"
    PREFERRED = "preferred by the tier"
    TIER_CHAIN = "fallback chain of the tier"
    ENSEMBLE = "ensemble of the tier"
    EARS = "makes the transcript to reason over"
    RANKED = "ranked by the tier's weights"


@frozen(kw_only=True)
class Candidate:
    """One model in a plan, and why it stands there."""

    card: ModelCard
    place: Place
    needs_language: bool = False
    """Whether it has to be told the language, which the request leaves open."""


@frozen(kw_only=True)
class Plan:
    """An ordered list of candidates, and who was left out and why."""

    candidates: tuple[Candidate, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    ensemble: tuple[Candidate, ...] = ()
    """The candidates that are asked at once, the first one among them; empty for no ensemble."""
    members: tuple[Member, ...] = ()
    """How the candidates that share the load of a name stood, in order."""
    is_hedged: bool = False
    """Whether the second candidate is asked too when the first is late."""
