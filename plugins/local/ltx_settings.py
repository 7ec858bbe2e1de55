"""`[plugins.ltx]`: where LTX-2.3's weights lie, how they are run, and which variants are offered."""

from pathlib import Path
from typing import Annotated, Final, Literal

from attrs import frozen
from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Share
from junctor.core.cards import Capability, ModelCard
from junctor.core.errors import ConfigError
from junctor.plugins.local.ltx_variants import VARIANTS, changed
from junctor.plugins.local.settings import EngineSettings
from junctor.plugins.local.workers.ltx_args import LtxOptions, Variant

NAME: Final = "ltx"

Scale = Annotated[float, Meta(ge=0, le=100)]


class LtxVariantSettings(Base, frozen=True, kw_only=True):
    """`[plugins.ltx.variants.<name>]`; what is not given is Lightricks' recommendation."""

    like: Literal["standard", "fast", "quality", "full", "distilled"] | None = None
    """Another variant that this one is to be made as: `fast`, where only distilled weights are."""
    steps: Annotated[int, Meta(ge=2)] | None = None
    """Steps of its first pass; of a distilled one at most eight."""
    guidance_scale: Scale | None = None
    """Away from the negative prompt, pictures; 1 turns it off."""
    audio_guidance_scale: Scale | None = None
    """The same, sound."""
    stg_scale: Scale | None = None
    """Spatio-temporal guidance, pictures and sound; 0 turns it off."""
    modality_scale: Scale | None = None
    """Guidance towards pictures and sound that belong together; 1 turns it off."""
    rescale: Share | None = None
    """How much of the unguided contrast is restored."""
    stg_blocks: tuple[int, ...] | None = None
    """Transformer blocks whose attention spatio-temporal guidance skips."""


class LtxSettings(EngineSettings, frozen=True, kw_only=True):
    """`[plugins.ltx]`."""

    base: str = ""
    """Folder of the full model, in diffusers' layout; for `standard`, `full` and `quality`."""
    distilled: str = ""
    """Folder of the distilled model, likewise; for `fast` and `distilled`."""
    distilled_lora: str = ""
    """File (safetensors) that turns `base` into the distilled model; `quality` needs it."""
    upsampler: str = ""
    """Folder of the spatial upsampler; `quality` and `distilled` need it."""
    device: Annotated[str, Meta(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cuda"
    """Where it runs."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Numbers it computes with."""
    fp8: bool = False
    """Keep the transformer's large matrices as 8-bit floats: half its memory, a little slower."""
    offload: Literal["none", "model", "sequential"] = "none"
    """What waits in the computer's memory: nothing, the parts not in use, or every layer."""
    vae_tiling: bool = True
    """Decode pictures in pieces, so that memory does not grow with the video."""
    memory_gb: Annotated[float, Meta(gt=0)] | None = None
    """Memory of the device it may use; all that is there."""
    max_seconds: Seconds = 20.0
    """Longest video; the model was taught up to 20 seconds."""
    negative_prompt: str = (
        "blurry, noisy, low contrast, flickering, jittery motion, distorted faces, extra limbs, "
        "deformed hands, watermark, subtitles, distorted or muffled sound, echo"
    )
    """What it is led away from, where it is guided."""
    image_crf: Annotated[int, Meta(ge=0, le=51)] = 33
    """Compression (H.264) the picture goes through first, as in its training; 0 for none."""
    max_sequence_length: Count = 1024
    """Tokens of a prompt; what is longer is cut off."""
    keep_first_frame: bool = True
    """Make the first frame the picture itself, and not the model's copy of it."""
    price: Annotated[float, Meta(ge=0)] = 0.0
    """US dollars per minute of video."""
    latency: Seconds = 60.0
    """The card's expected seconds for a short video."""
    start_timeout: Seconds = 900.0
    """Time to load the model."""
    job_timeout: Seconds = 3600.0
    """Longest time for one video."""
    cancel_grace: Seconds = 60.0
    """Time a cancelled video gets to stop before the process is killed."""
    variants: dict[
        Literal["standard", "fast", "quality", "full", "distilled"], LtxVariantSettings
    ] = field(default_factory=dict)
    """Changes to single variants."""

    def options(self) -> LtxOptions:
        """Return what the worker is built from."""
        return LtxOptions(
            base=expanded(self.base),
            distilled=expanded(self.distilled),
            lora=expanded(self.distilled_lora),
            upsampler=expanded(self.upsampler),
            device=self.device,
            dtype=self.dtype,
            fp8=self.fp8,
            offload=self.offload,
            vae_tiling=self.vae_tiling,
            memory=None if self.memory_gb is None else round(self.memory_gb * 2**30),
            image_crf=self.image_crf,
            max_sequence_length=self.max_sequence_length,
            keep_first_frame=self.keep_first_frame,
            negative_prompt=self.negative_prompt,
        )


@frozen(kw_only=True)
class Offered:
    """A variant that these weights can make."""

    card: ModelCard
    variant: Variant


_DESCRIBED: Final = {
    "standard": (0.8, "the full model, 30 steps"),
    "fast": (0.7, "the distilled model, 8 steps"),
    "quality": (0.9, "the full model, 30 steps at half the size, then upsampled and refined"),
    "full": (0.85, "the full model, 40 steps"),
    "distilled": (
        0.75,
        "the distilled model, 8 steps at half the size, then upsampled and refined",
    ),
}


def expanded(path: str) -> str:
    """Return a path of the settings with the home folder put in."""
    return str(Path(path).expanduser()) if path else ""


def offered(settings: LtxSettings) -> dict[str, Offered]:
    """
    Return the variants that the weights allow, by their ids.

    Raises:
        ConfigError: none at all.

    """
    made = {
        name: Offered(card=card_of(name, settings), variant=variant)
        for name in VARIANTS
        if can_make(variant := variant_of(name, settings), settings)
    }
    if not made:
        raise ConfigError(
            "A LoRA needs the full model's folder: set plugins.ltx.base.",
            key="plugins.ltx.distilled_lora",
        )
    return made


def variant_of(name: str, settings: LtxSettings) -> Variant:
    """Return how a variant is made, an operator's changes included."""
    wish = next((one for key, one in settings.variants.items() if key == name), None)
    if wish is None:
        return VARIANTS[name]
    guidance = {
        "video": wish.guidance_scale,
        "audio": wish.audio_guidance_scale,
        "stg": wish.stg_scale,
        "audio_stg": wish.stg_scale,
        "modality": wish.modality_scale,
        "audio_modality": wish.modality_scale,
        "rescale": wish.rescale,
        "audio_rescale": wish.rescale,
    }
    return changed(
        VARIANTS[wish.like or name],
        steps=wish.steps,
        guidance=guidance,
        stg_blocks=wish.stg_blocks,
    )


def can_make(variant: Variant, settings: LtxSettings) -> bool:
    """Whether what a variant needs is set: a second pass goes on with the weights of the first."""
    kinds = {one.weights for one in variant.passes}
    has_lora = bool(settings.base and settings.distilled_lora)
    has = {"base": bool(settings.base), "distilled": bool(settings.distilled) or has_lora}
    return (
        all(has[kind] for kind in kinds)
        and (len(kinds) == 1 or has_lora)
        and (len(variant.passes) == 1 or bool(settings.upsampler))
    )


def card_of(name: str, settings: LtxSettings) -> ModelCard:
    """Return the card of a variant."""
    wish = next((one for key, one in settings.variants.items() if key == name), None)
    quality, how = _DESCRIBED[(wish and wish.like) or name]
    return ModelCard(
        provider=NAME,
        id=name,
        capabilities=frozenset({Capability.GENERATE_VIDEO}),
        summary=f"LTX-2.3: {how}; pictures and sound together.",
        max_seconds=settings.max_seconds,
        quality=quality,
        price=settings.price,
        latency=settings.latency,
    )
