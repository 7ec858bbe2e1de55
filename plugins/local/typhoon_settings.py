"""`[plugins.typhoon]`: which exported transducers sherpa-onnx serves, from where, and how."""

from pathlib import Path
from typing import Final, Literal

from msgspec import field

from junctor.conf.settings import Base, Count, Seconds, Share
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.plugins.local.settings import EngineSettings

NAME: Final = "typhoon"
LANGUAGE: Final = "th"
EXAMPLE: Final = "typhoon-asr-realtime"


class TyphoonModelSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.typhoon.models."<id>"]`."""

    path: str
    """The folder of the sherpa-onnx export."""
    cpu_threads: Count = 1
    """Threads of one decode; more make it shorter, and many decodes at once slower."""
    window_seconds: Seconds = 30.0
    """Longest stretch decoded at once."""
    window_batch: Count = 16
    """Windows of live sessions decoded at once, at most."""
    quality: Share = 0.75
    """The card's quality."""
    tiers: tuple[Literal["low", "medium", "high"], ...] = ("low", "medium", "high")
    """The card's tiers."""
    latency: Seconds = 1.0
    """The card's expected seconds for a short request."""
    summary: str = ""
    """The card's sentence."""

    @property
    def folder(self) -> str:
        """Where the model lies; `~` is the home of whoever runs the server."""
        return str(Path(self.path).expanduser())


class TyphoonSettings(Base, frozen=True, kw_only=True):
    """`[plugins.typhoon]`."""

    models: dict[str, TyphoonModelSettings] = field(default_factory=dict)
    """One table per model; the weights are the operator's, so there is none by default."""


def card_of(model: str, settings: TyphoonModelSettings) -> ModelCard:
    """Return the card of a model as it is set up."""
    return ModelCard(
        provider=NAME,
        id=model,
        capabilities=frozenset(
            {Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE, Capability.TRANSCRIBE_WINDOWS}
        ),
        summary=settings.summary or f"Thai FastConformer transducer ({model}) through sherpa-onnx.",
        locales=frozenset({LANGUAGE}),
        features=frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS}),
        window_seconds=settings.window_seconds,
        window_batch=settings.window_batch,
        quality=settings.quality,
        latency=settings.latency,
        tiers=frozenset(map(Tier, settings.tiers)),
    )
