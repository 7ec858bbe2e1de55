"""What is known about one attempt at one candidate, once it is over."""

from attrs import frozen

from junctor.core.cards import Capability


@frozen(kw_only=True)
class Attempt:
    """One try at one candidate, finished: observers, logs, metrics and health read it."""

    provider: str
    model: str
    """The provider's own model id."""
    capability: Capability
    outcome: str
    """`ok`, `cancelled`, or the class name of the error."""
    seconds: float
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
