"""The pipeline of LTX-2.3, loaded as the settings say, and every argument it is called with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from junctor.core.errors import ProviderBusyError, ProviderUnavailableError
from junctor.plugins.local.workers.ltx_args import LtxArgs, LtxOptions, Pass
from junctor.plugins.local.workers.ltx_memory import Weights, weights_of

if TYPE_CHECKING:
    import torch

Kind = Literal["base", "distilled"]

PARTS: Final = (
    "transformer", "vae", "audio_vae", "text_encoder", "connectors", "vocoder",
)  # fmt: skip
"""Subfolders of a pipeline that have weights."""
FILES: Final = ("model_index.json", "scheduler/scheduler_config.json", "tokenizer")
NOT_IN_FP8: Final = (
    "norm", "time_embed", "adaln", "av_cross_attn", "proj_in", "proj_out", "lora_",
)  # fmt: skip
"""Parts of the transformer's names that stay as they are: few numbers, and much depends on them."""
LORA: Final = "distilled"


class Pipelines:
    """
    The weights of one device: one pipeline at a time, turned into the other where there is a LoRA.

    Args:
        options: where they are, and how they are kept.

    Raises:
        ProviderUnavailableError: what is set is not there, or damaged.

    """

    def __init__(self, options: LtxOptions) -> None:
        self.options = options
        self.sizes = {
            kind: measured(folder, options)
            for kind, folder in (("base", options.base), ("distilled", options.distilled))
            if folder
        }
        self._kind: Kind | None = None
        self._pipe: Any = None
        self._upsampler: Any = None

    def folder_kind(self, kind: Kind) -> Kind:
        """Return from which folder weights of a kind come: a LoRA makes one of the other."""
        return "base" if self.options.lora and self.options.base else kind

    def is_loaded(self, kind: Kind) -> bool:
        """Whether weights of a kind need no loading."""
        return self._kind == self.folder_kind(kind)

    def get(self, kind: Kind) -> Any:
        """
        Return the pipeline with weights of a kind, loaded if it is another one.

        Raises:
            ProviderUnavailableError: they cannot be loaded.
            ProviderBusyError: the device has no memory for them.

        """
        folder = self.folder_kind(kind)
        if self._kind != folder:
            self._pipe = self._kind = None
            free()
            with loading():
                self._pipe = loaded(self.options, folder)
            self._kind = folder
        if self.options.lora and folder == "base":
            if kind == "distilled":
                self._pipe.enable_lora()
            else:
                self._pipe.disable_lora()
        return self._pipe

    def upsample(self, latents: "torch.Tensor") -> "torch.Tensor":
        """Return latents of twice the width and height."""
        import torch
        from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

        device = torch.device(self.options.device)
        if self._upsampler is None:
            with loading():
                self._upsampler = LTX2LatentUpsamplerModel.from_pretrained(
                    part_folder(Path(self.options.upsampler), "latent_upsampler"),
                    torch_dtype=dtype_of(self.options),
                    local_files_only=True,
                )
        self._upsampler.to(device)
        with torch.no_grad():
            larger: torch.Tensor = self._upsampler(latents.to(device, self._upsampler.dtype))
        if self.options.offload != "none":
            self._upsampler.to("cpu")
        return larger


def part_folder(folder: Path, part: str) -> Path:
    """Return where a part's own folder is, given that or the folder around it."""
    return folder / part if (folder / part).is_dir() else folder


def measured(folder: str, options: LtxOptions) -> Weights:
    """
    Return what the weights in a folder take, and make sure that they are whole.

    Raises:
        ProviderUnavailableError: they are not; the path is only printed, for the operator's log.

    """
    root = Path(folder)
    parts = {part: [root / part] for part in PARTS}
    if options.upsampler:
        parts["upsampler"] = [part_folder(Path(options.upsampler), "latent_upsampler")]
    if options.lora and folder == options.base:
        parts["transformer"].append(Path(options.lora))
    missing = [name for name in FILES if not (root / name).exists()]
    missing += [name for name, paths in parts.items() if not all(map(has_weights, paths))]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - the log of a child
        raise ProviderUnavailableError(
            f"The model's folder lacks {', '.join(missing)}.", provider=""
        )
    try:
        return weights_of(parts, options)
    except (ValueError, OSError) as error:
        print(f"{folder}: {error}", file=sys.stderr)  # noqa: T201 - the log of a child
        raise ProviderUnavailableError(
            "The model's weights are damaged, or not all of them are there.", provider=""
        ) from error


def has_weights(path: Path) -> bool:
    """Whether a part's folder has a safetensors file, or is one."""
    return path.is_file() or any(path.glob("*.safetensors"))


def loaded(options: LtxOptions, kind: Kind) -> Any:
    """Return the pipeline of a folder, ready on its device."""
    import torch
    from diffusers import LTX2ImageToVideoPipeline

    pipe = LTX2ImageToVideoPipeline.from_pretrained(
        options.base if kind == "base" else options.distilled,
        dtype=dtype_of(options),
        local_files_only=True,
        use_safetensors=True,
    )
    pipe.set_progress_bar_config(disable=True)
    if options.lora and kind == "base":
        lora = Path(options.lora)
        pipe.load_lora_weights(
            lora.parent, weight_name=lora.name, adapter_name=LORA, local_files_only=True
        )
    if options.fp8:
        pipe.transformer.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn,
            compute_dtype=dtype_of(options),
            skip_modules_pattern=NOT_IN_FP8,
        )
    if options.vae_tiling:
        pipe.vae.enable_tiling(
            tile_sample_min_height=512,
            tile_sample_min_width=512,
            tile_sample_stride_height=448,
            tile_sample_stride_width=448,
        )
    place(pipe, options)
    return pipe


def place(pipe: Any, options: LtxOptions) -> None:
    """Put a pipeline where it runs; on a CPU there is nowhere to offload to."""
    match "none" if options.device == "cpu" else options.offload:
        case "none":
            pipe.to(options.device)
        case "model":
            pipe.enable_model_cpu_offload(device=options.device)
        case _:
            pipe.enable_sequential_cpu_offload(device=options.device)


def dtype_of(options: LtxOptions) -> "torch.dtype":
    """Return the numbers it computes with."""
    import torch

    return torch.float32 if options.dtype == "fp32" else torch.bfloat16


def call_arguments(
    args: LtxArgs, one: Pass, options: LtxOptions, *, size: tuple[int, int], frames: int
) -> dict[str, object]:
    """
    Return what the pipeline is called with, whatever its defaults are.

    Args:
        args: the video.
        one: the pass.
        options: the worker's.
        size: width and height of this pass, pixels.
        frames: what the model makes.

    """
    guidance = one.guidance
    return {
        "prompt": args.prompt,
        "negative_prompt": options.negative_prompt,
        "width": size[0],
        "height": size[1],
        "num_frames": frames,
        "min_seconds": 1.0,
        "max_seconds": 20.0,
        "frame_rate": float(args.rate),
        "motion_speed": 1.0,
        "num_inference_steps": len(one.sigmas),
        "sigmas": list(one.sigmas),
        "timesteps": None,
        "guidance_scale": guidance.video,
        "stg_scale": guidance.stg,
        "modality_scale": guidance.modality,
        "guidance_rescale": guidance.rescale,
        "audio_guidance_scale": guidance.audio,
        "audio_stg_scale": guidance.audio_stg,
        "audio_modality_scale": guidance.audio_modality,
        "audio_guidance_rescale": guidance.audio_rescale,
        "spatio_temporal_guidance_blocks": list(guidance.stg_blocks),
        "noise_scale": one.noise,
        "num_videos_per_prompt": 1,
        "decode_timestep": 0.0,
        "decode_noise_scale": None,
        "use_cross_timestep": True,
        "system_prompt": None,
        "enable_prompt_enhancement": False,
        "prompt_max_new_tokens": None,
        "prompt_enhancement_kwargs": None,
        "prompt_enhancement_seed": 10,
        "image_crf": options.image_crf,
        "output_type": "latent",
        "return_dict": False,
        "attention_kwargs": None,
        "callback_on_step_end_tensor_inputs": ["latents"],
        "max_sequence_length": options.max_sequence_length,
    }


@contextmanager
def scheduled(pipe: Any, *, is_shifted: bool) -> Iterator[None]:
    """Let the scheduler take sigmas as they are, unless they are to be shifted."""
    own = pipe.scheduler
    if not is_shifted:
        pipe.scheduler = type(own).from_config(
            own.config, use_dynamic_shifting=False, shift=1.0, shift_terminal=None
        )
    try:
        yield
    finally:
        pipe.scheduler = own


@contextmanager
def watched(pipe: Any, check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before every block of the transformer, so that a step can be left within it."""
    hooks = [
        block.register_forward_pre_hook(lambda *_: check())
        for block in pipe.transformer.transformer_blocks
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        pipe.maybe_free_model_hooks()


@contextmanager
def loading() -> Iterator[None]:
    """Say why a model cannot be loaded, without saying where it lies."""
    with in_memory():
        try:
            yield
        except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
            if is_out_of_memory(error):
                raise
            print(repr(error), file=sys.stderr)  # noqa: T201 - the log of a child
            raise ProviderUnavailableError(
                "The model cannot be loaded: it is damaged, of another version, or does not fit "
                "the device.",
                provider="",
            ) from error


@contextmanager
def in_memory() -> Iterator[None]:
    """Tell a device out of memory, which another candidate may serve, from a defect."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        free()
        raise ProviderBusyError("The device is out of memory.", provider="") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether there was no memory left: of a GPU, or, by its words, of the computer."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def free() -> None:
    """Give back what nobody uses."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
