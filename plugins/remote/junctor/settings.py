"""The table of the other junctor, and the models that it makes of it."""

from typing import Annotated, Final

from msgspec import Meta, field

from junctor.conf.settings import Seconds
from junctor.core.cards import Capability, ModelCard
from junctor.plugins.remote.vendor import VendorSettings

NAME: Final = "junctor"
ALIASES: Final = (
    "ltx23-standard",
    "ltx23-standard-fast",
    "ltx23-standard-quality",
    "ltx23-standard-full",
    "ltx23-standard-distilled",
    "ltx23",
    "ltx-2.3",
)
"""The names that the contract knows."""


class JunctorSettings(VendorSettings, frozen=True, kw_only=True):
    """`[plugins.junctor]`."""

    timeout: Seconds = 60.0
    """Longest time for one request to it: a submission, a question, the file."""
    video_timeout: Seconds = 3600.0
    """Longest time that a video is waited for, and that its file is asked for."""
    poll_interval: Seconds = 3.0
    """Longest pause between two questions how far a video is."""
    outage: Seconds = 60.0
    """How long it may fail to answer such questions before the video is given up."""
    aliases: dict[str, str] = field(default_factory=lambda: {one: one for one in ALIASES})
    """What the models here are called there."""
    price: Annotated[float, Meta(ge=0)] = 0.0
    """US dollars per minute of video, of every model."""


def card_of(name: str, settings: JunctorSettings) -> ModelCard:
    """Return the card of a model, by its name here."""
    return ModelCard(
        provider=NAME,
        id=name,
        capabilities=frozenset({Capability.GENERATE_VIDEO}),
        summary=f"{settings.aliases[name]} of another junctor, by its URL.",
        max_seconds=10.0,
        quality=0.7,
        price=settings.price,
        latency=60.0,
    )
