"""What is known about one attempt at one candidate, once it is over."""

from msgspec import Struct

from junctor.core.cards import Capability, ModelCard


class Attempt(Struct, frozen=True, kw_only=True):
    """
    One try at one candidate, finished: observers, logs, metrics and health read it.

    A `Struct`, as all that every request makes anew: a frozen class of attrs takes ten times as long
    to make, which together was a seventh of the CPU of a relayed request.
    """

    provider: str = ""
    model: str = ""
    """The provider's own model id."""
    capability: Capability
    outcome: str = ""
    """`ok`, `cancelled`, or the class name of the error."""
    seconds: float = 0.0
    """Wall time from the start of the attempt to its end, seconds."""
    first_item_seconds: float | None = None
    """Wall time to the first item, seconds; None when there was none."""
    audio_seconds: float = 0.0
    """Length of the media it was asked to work on, seconds."""
    is_fallback: bool = False
    """Whether another candidate had failed before."""

    @property
    def is_ok(self) -> bool:
        """Whether it ended well."""
        return self.outcome == "ok"

    def at(self, card: ModelCard, *, is_fallback: bool) -> "Attempt":
        """Return the attempt as it begins at a candidate."""
        return Attempt(
            capability=self.capability,
            provider=card.provider,
            model=card.id,
            audio_seconds=self.audio_seconds,
            is_fallback=is_fallback,
        )

    def finished(self, outcome: str, *, seconds: float, first: float | None) -> "Attempt":
        """Return the attempt as it ended."""
        return Attempt(
            capability=self.capability,
            provider=self.provider,
            model=self.model,
            outcome=outcome,
            seconds=seconds,
            first_item_seconds=first,
            audio_seconds=self.audio_seconds,
            is_fallback=self.is_fallback,
        )
