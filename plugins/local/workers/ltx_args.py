"""What the LTX worker is built from, what it is asked, and what it says."""

from typing import Literal

from msgspec import Struct

from junctor.core.requests import VideoStage


class Guidance(Struct, frozen=True, kw_only=True):
    """How far each step is pushed away from weaker guesses; one more run of the model for each."""

    video: float = 1.0
    """Away from the negative prompt; 1 is off."""
    audio: float = 1.0
    stg: float = 0.0
    """Away from a model that skips attention in `stg_blocks`; 0 is off."""
    audio_stg: float = 0.0
    modality: float = 1.0
    """Away from pictures made without the sound, and sound without the pictures; 1 is off."""
    audio_modality: float = 1.0
    rescale: float = 0.0
    """How much of the unguided contrast is restored, 0 to 1."""
    audio_rescale: float = 0.0
    stg_blocks: tuple[int, ...] = ()
    """Transformer blocks, counted from 0."""

    @property
    def runs(self) -> int:
        """How often the model runs in a step; with a negative prompt it runs on two at once."""
        return (
            1
            + (max(self.video, self.audio) > 1)
            + (max(self.stg, self.audio_stg) > 0)
            + (max(self.modality, self.audio_modality) > 1)
        )


class Pass(Struct, frozen=True, kw_only=True):
    """One denoising loop."""

    weights: Literal["base", "distilled"]
    sigmas: tuple[float, ...]
    """Noise at the start of each step, 1 to 0."""
    is_shifted: bool
    """Whether the scheduler that comes with the weights moves the sigmas by the video's size."""
    guidance: Guidance
    noise: float = 0.0
    """Noise that is added to what the pass before it made, 0 to 1."""


class Variant(Struct, frozen=True, kw_only=True):
    """How a video is made: in one pass, or in one at half the size and one at the whole."""

    passes: tuple[Pass, ...]

    @property
    def grid(self) -> int:
        """What width and height are padded to a multiple of, pixels."""
        return 32 << (len(self.passes) - 1)


class LtxOptions(Struct, frozen=True, kw_only=True):
    """What is loaded, where, and within which memory."""

    base: str = ""
    """Folder of the full model, as diffusers saves pipelines."""
    distilled: str = ""
    """Folder of the distilled model, likewise."""
    lora: str = ""
    """File that turns the full model into the distilled one."""
    upsampler: str = ""
    """Folder of the latent upsampler."""
    device: str = "cuda"
    dtype: Literal["bf16", "fp32"] = "bf16"
    fp8: bool = False
    offload: Literal["none", "model", "sequential"] = "none"
    vae_tiling: bool = True
    memory: int | None = None
    """Bytes it may use of the device; None for all of it."""
    image_crf: int = 33
    max_sequence_length: int = 1024
    keep_first_frame: bool = True
    negative_prompt: str = ""


class LtxArgs(Struct, frozen=True, kw_only=True):
    """One video; the payload is the first frame, a PNG of exactly its size."""

    target: str
    """Where the MP4 is written."""
    prompt: str
    width: int
    height: int
    frames: int
    """Of the file; the model makes one to eight more."""
    rate: int
    """Frames per second."""
    seed: int
    variant: Variant


class Made(Struct, frozen=True, kw_only=True):
    """How far the video is."""

    stage: VideoStage
    share: float
    step: int = 0
    steps: int = 0
