"""`[plugins.whisper]`: which models faster-whisper serves, from where, and how."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from attrs import frozen
from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Share
from junctor.core.cards import Capability, Feature, ModelCard, Tier
from junctor.plugins.local.languages import TAGS, code_of
from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.tiny import model_path

NAME: Final = "whisper"
TINY: Final = "junctor-tiny"
BUILTIN: Final = f"builtin:{TINY}"

Temperature = Annotated[float, Meta(ge=0, le=1)]


class WhisperModelSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.whisper.models."<id>"]`; what is not given follows from the model."""

    path: str = BUILTIN
    """A model folder (CTranslate2), a name on the model hub, or `builtin:junctor-tiny`."""
    download: bool = False
    """Fetch a hub name that is not on this machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs."""
    device_index: Annotated[int, Meta(ge=0)] = 0
    """Which GPU."""
    compute_type: str = "default"
    """CTranslate2's number format: `int8`, `float16`, `int8_float16` …"""
    cpu_threads: Annotated[int, Meta(ge=0)] = 0
    """Threads on a CPU; 0 leaves it to CTranslate2."""
    batch_size: Count = 1
    """Windows of a long recording decoded at once; more than one suits a GPU."""
    beam_size: Count | None = None
    """Width of the search; 5, and 1 for the tiny model."""
    languages: tuple[str, ...] | None = None
    """BCP-47 languages it may hear; all that Whisper knows."""
    vad_filter: bool = True
    """Show it only what is speech."""
    longest: Seconds | None = None
    """Longest stretch decoded at once; the model's window, 30 seconds, and 5 for the tiny model."""
    fallback_temperatures: tuple[Temperature, ...] | None = None
    """Tried in order when a window decodes badly at temperature 0; Whisper's usual five."""
    window_batch: Count = 16
    """Windows of live sessions decoded at once."""
    short_windows: bool | None = None
    """Whether windows of live sessions are heard without padding; only a model that was taught so
    (the tiny one) does not imagine words then."""
    quality: Share | None = None
    """The card's quality; guessed from the size in the name."""
    tiers: tuple[Literal["low", "medium", "high"], ...] | None = None
    """The card's tiers; guessed from the size in the name."""
    latency: Seconds = 1.0
    """The card's expected seconds for a short request."""
    summary: str = ""
    """The card's sentence."""


class WhisperSettings(Base, frozen=True, kw_only=True):
    """`[plugins.whisper]`."""

    models: dict[str, WhisperModelSettings] = field(
        default_factory=lambda: {TINY: WhisperModelSettings()}
    )
    """One table per model; the tiny one alone when there are none."""


@frozen(kw_only=True)
class Kind:
    """What follows from which model it is."""

    quality: float
    tiers: frozenset[Tier]
    summary: str
    languages: tuple[str, ...] = ()
    beam_size: int = 5
    fallback: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    pause: float = 0.5
    """Silence that parts two stretches of speech, seconds."""
    longest: float | None = None
    """Longest stretch decoded at once, seconds; None for the model's window."""
    takes_prompt: bool = True
    window: float = 30.0
    """What it hears at once, seconds."""
    short_context: bool = False
    """Whether it hears windows that are not padded to half a minute."""


_LOW, _MEDIUM, _HIGH = (
    frozenset({Tier.LOW}),
    frozenset({Tier.LOW, Tier.MEDIUM}),
    frozenset({Tier.MEDIUM, Tier.HIGH}),
)
_TINY_KIND: Final = Kind(
    quality=0.1,
    tiers=_LOW,
    summary="A tiny Whisper of junctor's own: knows some hundred Thai and English words only.",
    languages=("th", "en"),
    beam_size=1,
    fallback=(),
    pause=0.3,
    longest=5.0,  # its window is 10 s, but it was mostly taught single sentences
    takes_prompt=False,
    window=10.0,
    short_context=True,
)
_SIZES: Final = (
    ("large", 0.9, _HIGH),
    ("turbo", 0.88, _HIGH),
    ("medium", 0.8, frozenset(Tier)),
    ("small", 0.65, _MEDIUM),
    ("base", 0.5, _LOW),
    ("tiny", 0.35, _LOW),
)


def kind_of(model: str, settings: WhisperModelSettings) -> Kind:
    """Return what follows from the model's path and id."""
    if settings.path == BUILTIN:
        return _TINY_KIND
    names = f"{model} {settings.path}".lower()
    quality, tiers = next(((q, t) for size, q, t in _SIZES if size in names), (0.5, _MEDIUM))
    languages = ("en",) if re.search(r"\.en\b", names) else ()
    summary = f"Whisper ({model}) through faster-whisper."
    return Kind(quality=quality, tiers=tiers, summary=summary, languages=languages)


def location(settings: WhisperModelSettings) -> tuple[str, bool]:
    """Return what faster-whisper opens, and whether that is a folder (else a hub name)."""
    if settings.path == BUILTIN:
        return model_path(), True
    path = Path(settings.path).expanduser()
    is_folder = path.is_absolute() or settings.path.startswith(("./", "../"))
    return (str(path), True) if is_folder else (settings.path, False)


def card_of(model: str, settings: WhisperModelSettings) -> ModelCard:
    """Return the card of a model as it is set up."""
    kind = kind_of(model, settings)
    languages = kind.languages if settings.languages is None else settings.languages
    features = {Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS}
    capabilities = {
        Capability.TRANSCRIBE,
        Capability.STREAM_TRANSCRIBE,
        Capability.TRANSCRIBE_WINDOWS,
        Capability.ALIGN,
    }
    if kind.takes_prompt:
        features.add(Feature.PROMPT)
    if kind.languages != ("en",):
        features |= {Feature.AUTO_LANGUAGE, Feature.TRANSLATION}
        capabilities.add(Capability.IDENTIFY_LANGUAGE)
    return ModelCard(
        provider=NAME,
        id=model,
        capabilities=frozenset(capabilities),
        summary=settings.summary or kind.summary,
        locales=frozenset(tag for tag in languages if code_of(tag)) or TAGS,
        features=frozenset(features),
        window_seconds=min(settings.longest or kind.longest or kind.window, kind.window),
        window_batch=settings.window_batch,
        quality=kind.quality if settings.quality is None else settings.quality,
        latency=settings.latency,
        tiers=kind.tiers if settings.tiers is None else frozenset(map(Tier, settings.tiers)),
    )
