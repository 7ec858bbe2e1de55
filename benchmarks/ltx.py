"""
What a video by LTX-2.3 takes: seconds a step, memory at its peak, and the share of decode and mux.

::

    python -m benchmarks.ltx --real-shape [--variants standard,fast] [--size 1280x720] [--seconds 5]
                             [--steps N] [--fp8] [--offload none|model|sequential]
    python -m benchmarks.ltx                   # the tests' tiny model: that the command works

With `--real-shape`, on a GPU: the real architecture with random weights, made in its memory (a GPU
of 80 GB holds it in bf16), run by the very code of the engine's worker, guidance and all. What the
numbers are does not change what they cost. One pass counts as another's LoRA would: the weights are
those of the base in every pass. The tiny model says nothing about speed. Needs the extra `ltx`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen
from msgspec.structs import replace

from junctor.core.engine.worker import Job
from junctor.core.requests import VideoStage
from junctor.core.testing.pictures import picture_of
from junctor.plugins.local.ltx_variants import VARIANTS, changed
from junctor.plugins.local.workers.ltx import LtxWorker, planned
from junctor.plugins.local.workers.ltx_args import LtxArgs, LtxOptions
from junctor.plugins.local.workers.ltx_memory import GIB, Weights
from junctor.plugins.local.workers.ltx_pipeline import NOT_IN_FP8, Kind, Pipelines, place
from tests.plugins.local.ltx_tiny import save_all, tokenizer

LAYERS = 48
"""Of the transformer, and of Gemma 3 12B."""
TRANSFORMER: dict[str, Any] = {
    "in_channels": 128, "out_channels": 128, "num_attention_heads": 32, "attention_head_dim": 128,
    "cross_attention_dim": 4096, "audio_in_channels": 128, "audio_out_channels": 128,
    "audio_num_attention_heads": 32, "audio_attention_head_dim": 64,
    "audio_cross_attention_dim": 2048, "caption_channels": 3840, "gated_attn": True,
    "cross_attn_mod": True, "audio_gated_attn": True, "audio_cross_attn_mod": True,
    "rope_type": "split", "rope_double_precision": True, "use_prompt_embeddings": False,
    "perturbed_attn": True,
}  # fmt: skip
"""`transformer/config.json` of diffusers/LTX-2.3-Diffusers, as `scripts/convert_ltx2_to_diffusers.py`
of diffusers has it for version 2.3; so are those below."""
CONNECTORS: dict[str, Any] = {
    "caption_channels": 3840, "video_connector_num_attention_heads": 32,
    "video_connector_attention_head_dim": 128, "video_connector_num_layers": 8,
    "video_connector_num_learnable_registers": 128, "video_gated_attn": True,
    "audio_connector_num_attention_heads": 32, "audio_connector_attention_head_dim": 64,
    "audio_connector_num_layers": 8, "audio_connector_num_learnable_registers": 128,
    "audio_gated_attn": True, "connector_rope_base_seq_len": 4096, "rope_type": "split",
    "per_modality_projections": True, "video_hidden_dim": 4096, "audio_hidden_dim": 2048,
    "proj_bias": True,
}  # fmt: skip
VAE: dict[str, Any] = {
    "latent_channels": 128, "block_out_channels": (256, 512, 1024, 1024),
    "decoder_block_out_channels": (256, 512, 512, 1024), "layers_per_block": (4, 6, 4, 2, 2),
    "decoder_layers_per_block": (4, 6, 4, 2, 2), "spatio_temporal_scaling": (True,) * 4,
    "decoder_spatio_temporal_scaling": (True,) * 4, "decoder_inject_noise": (False,) * 5,
    "upsample_type": ("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
    "upsample_residual": (False,) * 4, "upsample_factor": (2, 2, 1, 2), "patch_size": 4,
    "decoder_causal": False, "decoder_spatial_padding_mode": "zeros",
    "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
}  # fmt: skip
GEMMA: dict[str, Any] = {
    "vocab_size": 262208, "hidden_size": 3840, "intermediate_size": 15360,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "sliding_window": 1024,
    "max_position_embeddings": 131072,
}  # fmt: skip
"""Gemma 3 12B; its eyes, which no prompt needs, are those of the tiny model."""
SCHEDULER: dict[str, Any] = {
    "use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05,
    "base_image_seq_len": 1024, "max_image_seq_len": 4096, "shift_terminal": 0.1,
}  # fmt: skip


@frozen(kw_only=True)
class Timed:
    """When what was told."""

    begun: float
    stages: list[tuple[VideoStage, int, float]] = field(factory=list)

    def last(self, *stages: VideoStage) -> float:
        """Return when one of these was told for the last time."""
        return max(at for stage, _, at in self.stages if stage in stages)

    def first(self, stage: VideoStage) -> float:
        """Return when this was told for the first time."""
        return min(at for each, _, at in self.stages if each is stage)


class RandomPipelines(Pipelines):
    """One pipeline of random weights, which is every kind at once."""

    def __init__(self, options: LtxOptions, layers: int) -> None:
        self.options = options
        self._kind: Kind | None = "base"
        self._pipe = pipeline(options, layers)
        self._upsampler = upsampler(options)
        parts = {
            name: one for name, one in self._pipe.components.items() if hasattr(one, "parameters")
        }
        self.sizes = {"base": sizes({**parts, "upsampler": self._upsampler})}

    def folder_kind(self, kind: Kind) -> Kind:  # noqa: ARG002 - as its base has it
        """Return the one that is there."""
        return "base"


class RandomWorker(LtxWorker):
    """The engine's worker, with weights of no folder."""

    def __init__(self, options: LtxOptions, layers: int) -> None:
        self.options = options
        self.pipelines = RandomPipelines(options, layers)


@contextmanager
def made_as(dtype: Any, device: str) -> Iterator[None]:
    """Make modules of these numbers, where they are to be."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def text_encoder(layers: int) -> Any:
    """Return Gemma 3 12B of random weights."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = Gemma3Config(
        text_config={**GEMMA, "num_hidden_layers": layers},
        vision_config=vision,
        mm_tokens_per_image=4,
    )
    return Gemma3ForConditionalGeneration(config).eval()


def pipeline(options: LtxOptions, layers: int) -> Any:
    """Return LTX-2.3's pipeline of random weights on its device."""
    import torch
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2ImageToVideoPipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE

    torch.manual_seed(0)
    where = options.device if options.offload == "none" else "cpu"
    with made_as(torch.bfloat16, where):
        transformer = LTX2VideoTransformer3DModel(**TRANSFORMER, num_layers=layers).eval()
        if options.fp8:
            transformer.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn,
                compute_dtype=torch.bfloat16,
                skip_modules_pattern=NOT_IN_FP8,
            )
        connectors = LTX2TextConnectors(**CONNECTORS, text_proj_in_factor=layers + 1).eval()
        reader = text_encoder(layers)
    with made_as(torch.float32, where):
        small = {
            "vae": AutoencoderKLLTX2Video(**VAE).eval(),
            "audio_vae": AutoencoderKLLTX2Audio().eval(),
            "vocoder": LTX2VocoderWithBWE().eval(),
        }
    pipe = LTX2ImageToVideoPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        tokenizer=tokenizer(),
        text_encoder=reader,
        connectors=connectors,
        transformer=transformer,
        **{name: one.to(torch.bfloat16) for name, one in small.items()},
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.enable_tiling()
    place(pipe, options)
    return pipe


def upsampler(options: LtxOptions) -> Any:
    """Return the spatial upsampler of random weights."""
    import torch
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

    with made_as(torch.bfloat16, "cpu" if options.offload != "none" else options.device):
        return LTX2LatentUpsamplerModel(use_rational_resampler=False).eval()


def sizes(parts: dict[str, Any]) -> Weights:
    """Return what the parts take in memory."""
    bytes_of = {
        name: [one.numel() * one.element_size() for one in part.parameters()]
        for name, part in parts.items()
    }
    whole = {name: sum(each) for name, each in bytes_of.items()}
    width = TRANSFORMER["num_attention_heads"] * TRANSFORMER["attention_head_dim"]
    return Weights(whole, max(map(max, bytes_of.values())), width)


def measure(worker: LtxWorker, args: LtxArgs) -> Timed:
    """Make a video and note when what was told."""
    timed = Timed(begun=time.perf_counter())
    job = Job(args, bytearray(picture_of(args.width, args.height)))
    for told in worker.run(job):
        timed.stages.append((told.stage, told.step, time.perf_counter()))
    timed.stages.append((VideoStage.ENCODING, 0, time.perf_counter()))
    return timed


def report(name: str, worker: LtxWorker, args: LtxArgs, timed: Timed) -> None:
    """Print what a video took."""
    end = timed.last(VideoStage.ENCODING)
    whole = end - timed.begun
    decoding = end - timed.first(VideoStage.DECODING)
    steps = [at for stage, _, at in timed.stages if stage is VideoStage.GENERATING]
    a_step = (steps[-1] - steps[0]) / max(len(steps) - 1, 1)
    before = steps[0] - a_step - timed.begun
    plan = planned(args, -(-args.width // args.variant.grid) * args.variant.grid,
                   -(-args.height // args.variant.grid) * args.variant.grid)  # fmt: skip
    guessed = max(worker._needed(one) for one in plan) / GIB  # noqa: SLF001 - what it would refuse by
    print(
        f"{name:10} {len(steps):3} steps  {a_step:7.3f} s/step  whole {whole:7.2f} s  "
        f"before {max(before, 0):6.2f} s  decode+mux {decoding:6.2f} s = {decoding / whole:5.1%} "
        f"(goal < 15 %)  peak {peak():5.1f} GiB, estimated {guessed:5.1f} GiB"
    )


def peak() -> float:
    """Return the most memory that was taken since the last reset, GiB."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved() / GIB)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def run(worker: LtxWorker, asked: argparse.Namespace, *, blocks: tuple[int, ...] | None) -> None:
    """Measure each variant, after a short one that warms everything up."""
    import torch

    width, height = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(["fast", *asked.variants.split(",")]):
            steps = asked.steps if number else 2
            variant = changed(VARIANTS[name], steps=steps, guidance={}, stg_blocks=blocks)
            args = LtxArgs(
                target=str(Path(folder, "video.mp4")),
                prompt="The camera moves slowly forward while the water runs.",
                width=width,
                height=height,
                frames=24 * asked.seconds,
                rate=24,
                seed=number,
                variant=variant,
            )
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            report(name if number else "(warm up)", worker, args, measure(worker, args))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="What a video by LTX-2.3 takes.")
    parser.add_argument("--real-shape", action="store_true", help="the real architecture, on a GPU")
    parser.add_argument("--variants", default="standard,fast")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of the first pass, instead of the variant's")
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--offload", choices=("none", "model", "sequential"), default="none")
    parser.add_argument("--layers", type=int, default=LAYERS, help="fewer, to try the command")
    asked = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = LtxOptions(device=device, fp8=asked.fp8, offload=asked.offload)
    if asked.real_shape:
        if device == "cpu" and asked.layers == LAYERS:
            sys.exit("The real shape needs a GPU; there is none. Leave out --real-shape.")
        worker: LtxWorker = RandomWorker(options, asked.layers)
        blocks = None if asked.layers == LAYERS else (0,)
        parts = worker.pipelines.sizes["base"].parts
        print(", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items()), "GiB")
        name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
        print(f"LTX-2.3's shape, {asked.layers} layers, random weights, on {name}")
        run(worker, asked, blocks=blocks)
        return
    print("The tests' tiny model: these times say nothing about LTX-2.3.")
    with tempfile.TemporaryDirectory() as folder:
        root = save_all(Path(folder))
        tiny = replace(
            options,
            base=str(root / "base"),
            lora=str(root / "lora.safetensors"),
            upsampler=str(root / "upsampler"),
        )
        asked.size, asked.seconds, asked.steps = "96x64", 2, 3
        run(LtxWorker(tiny), asked, blocks=(1,))


if __name__ == "__main__":
    main()
