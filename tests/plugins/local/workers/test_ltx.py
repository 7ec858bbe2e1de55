"""The worker of LTX-2.3 in this process: what is loaded, called, refused and found wrong."""

import inspect
import shutil

import numpy as np
import pytest
from msgspec.structs import replace

from junctor.core.engine.worker import Job, JobCancelled
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderBusyError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import VideoStage
from junctor.core.testing.pictures import picture_of
from junctor.plugins.local.ltx_variants import NO_GUIDANCE, VARIANTS, changed
from junctor.plugins.local.workers.ltx import LtxWorker
from junctor.plugins.local.workers.ltx_args import LtxArgs, LtxOptions, Pass, Variant
from junctor.plugins.local.workers.ltx_pipeline import (
    Pipelines,
    call_arguments,
    in_memory,
    scheduled,
)
from tests.core.video.pictures import frames

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore"),  # of the libraries; the server never imports them
]
LEFT = {
    "self", "image", "generator", "latents", "audio_latents", "callback_on_step_end",
    "prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds",
    "negative_prompt_attention_mask",
}  # fmt: skip
"""What a call is given beside the numbers, or replaces the prompt: no number among them."""


@pytest.fixture(name="options")
def _options(ltx_folder):
    return LtxOptions(
        base=str(ltx_folder / "base"), lora=str(ltx_folder / "lora.safetensors"),
        upsampler=str(ltx_folder / "upsampler"), device="cpu", dtype="fp32",
        max_sequence_length=32, keep_first_frame=False,
    )  # fmt: skip


def args_of(tmp_path, variant, *, name="video"):
    """A second of 64 by 64 pixels."""
    return LtxArgs(
        target=str(tmp_path / f"{name}.mp4"), prompt="a robot dances", width=64, height=64,
        frames=24, rate=24, seed=7, variant=variant,
    )  # fmt: skip


def apart(one, other):
    """How far the pixels of two videos are apart in the mean, of 255; a CPU's threads round."""
    return np.abs(one.astype(int) - other).mean()


def small(name):
    """A variant of two steps, with blocks that the tiny model has."""
    return changed(VARIANTS[name], steps=2, guidance={}, stg_blocks=(1,))


def made(worker, args):
    """Make a video; return what was told and its frames."""
    told = list(worker.run(Job(args, bytearray(picture_of(args.width, args.height)))))
    return told, np.stack(frames(args.target))


def test_no_number_is_left_to_the_library(tmp_path):
    """Whatever the pipeline has a default for is given: the defaults move with its versions."""
    from diffusers import LTX2ImageToVideoPipeline

    taken = set(inspect.signature(LTX2ImageToVideoPipeline.__call__).parameters)
    variant = VARIANTS["standard"]
    arguments = call_arguments(
        args_of(tmp_path, variant), variant.passes[0], LtxOptions(), size=(64, 64), frames=25
    )

    assert taken - LEFT == set(arguments)


def test_numbers_of_ltx_2_3(tmp_path):
    """The recommended guidance of the full model, and none of the distilled one."""
    full, distilled = (VARIANTS[name].passes[0] for name in ("standard", "distilled"))
    args = args_of(tmp_path, VARIANTS["standard"])
    one, other = (
        call_arguments(args, each, LtxOptions(), size=(64, 64), frames=25)
        for each in (full, distilled)
    )
    scales = ("guidance_scale", "audio_guidance_scale", "stg_scale", "modality_scale")

    assert [3.0, 7.0, 1.0, 3.0] == [one[scale] for scale in scales]
    assert [1.0, 1.0, 0.0, 1.0] == [other[scale] for scale in scales]
    assert (30, 0.7, [28]) == (
        one["num_inference_steps"], one["guidance_rescale"], one["spatio_temporal_guidance_blocks"],
    )  # fmt: skip
    assert 8 == other["num_inference_steps"]


def test_lora_is_on_for_distilled_passes_only(options, tmp_path):
    """The same weights make both models, one after the other, and nothing of one stays."""
    worker = LtxWorker(options)
    plain = Pass(weights="base", sigmas=(1.0, 0.5), is_shifted=False, guidance=NO_GUIDANCE)
    base, distilled = (
        Variant(passes=(one,)) for one in (plain, replace(plain, weights="distilled"))
    )
    first, other, again = (
        made(worker, args_of(tmp_path, one))[1] for one in (base, distilled, base)
    )

    assert apart(first, again) < 2 < apart(first, other)


def test_eight_bits(options, tmp_path):
    """Large matrices are kept in 8 bits, norms are not, and a video comes out."""
    import torch

    worker = LtxWorker(replace(options, fp8=True, dtype="bf16"))
    _, pixels = made(worker, args_of(tmp_path, small("quality")))
    network = worker.pipelines.get("base").transformer
    kept = {name: one.dtype for name, one in network.named_parameters()}

    assert torch.float8_e4m3fn is kept["transformer_blocks.0.ff.net.0.proj.weight"]
    assert torch.bfloat16 is kept["proj_in.weight"]
    assert (24, 64, 64, 3) == pixels.shape


def test_two_folders_take_turns(options, ltx_folder, tmp_path):
    """Without a LoRA the distilled model is loaded when it is asked for, which is told."""
    worker = LtxWorker(replace(options, lora="", distilled=str(ltx_folder / "distilled")))
    told = [
        [one.stage for one in made(worker, args_of(tmp_path, small(name)))[0]]
        for name in ("standard", "fast", "fast")
    ]

    assert [False, True, False] == [VideoStage.LOADING in stages for stages in told]


def test_sigmas_as_they_are(options):
    """Those of a distilled pass reach the model unmoved; the full model's are shifted."""
    pipe = Pipelines(options).get("base")
    own = pipe.scheduler
    with scheduled(pipe, is_shifted=False):
        pipe.scheduler.set_timesteps(sigmas=[0.9, 0.4], mu=1.0)
        plain = pipe.scheduler.sigmas.tolist()
    pipe.scheduler.set_timesteps(sigmas=[0.9, 0.4], mu=1.0)

    assert [0.9, 0.4, 0.0] == pytest.approx(plain)
    assert plain != pytest.approx(pipe.scheduler.sigmas.tolist())
    assert own is pipe.scheduler


def test_lost_in_numbers(options, ltx_folder, tmp_path):
    """Latents that are no numbers are no video, and no file is left."""
    from safetensors.torch import load_file, save_file

    lora = tmp_path / "lora.safetensors"
    factors = load_file(ltx_folder / "lora.safetensors")
    save_file({name: one * float("nan") for name, one in factors.items()}, lora)
    worker = LtxWorker(replace(options, lora=str(lora)))
    args = args_of(tmp_path, small("fast"))
    with pytest.raises(ProviderAnswerError):
        made(worker, args)

    assert not (tmp_path / "video.mp4").exists()


def test_no_memory_for_the_model(options):
    """What does not fit the bound is refused before it is loaded."""
    with pytest.raises(ProviderRejectedError, match=r"The model takes about 2\.0 GiB"):
        LtxWorker(replace(options, memory=2**30))


def test_no_memory_for_the_video(options, tmp_path):
    """A large video is refused where a small one is made."""
    worker = LtxWorker(replace(options, memory=3 * 2**30))
    args = replace(args_of(tmp_path, small("fast")), width=1280, height=720, frames=240)
    with pytest.raises(ProviderRejectedError, match="This video takes about"):
        made(worker, args)


def test_cancelled_before_its_first_step(options, tmp_path):
    """A job that nobody waits for does not run through the model at all."""
    worker = LtxWorker(options)
    job = Job(args_of(tmp_path, small("fast")), bytearray(picture_of(64, 64)))
    job.cancel()
    with pytest.raises(JobCancelled):
        list(worker.run(job))

    assert not (tmp_path / "video.mp4").exists()


def test_weights_of_another_model(options, ltx_folder, tmp_path):
    """Files that are whole but do not fit one another are refused without a path."""
    shutil.copytree(ltx_folder / "base", tmp_path / "base")
    part = tmp_path / "base" / "transformer" / "config.json"
    part.write_text(part.read_text().replace('"num_layers": 2', '"num_layers": 3'))
    with pytest.raises(ProviderUnavailableError, match="cannot be loaded") as caught:
        LtxWorker(replace(options, base=str(tmp_path / "base"), lora=""))

    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("part", ["vae", "tokenizer", "model_index.json"])
def test_something_lacks(options, ltx_folder, tmp_path, part):
    """A folder without one of its parts is refused by the part's name."""
    shutil.copytree(ltx_folder / "base", tmp_path / "base")
    lost = tmp_path / "base" / part
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(ProviderUnavailableError, match=f"lacks {part}"):
        Pipelines(replace(options, base=str(tmp_path / "base")))


def test_out_of_memory():
    """The device's own refusal makes the provider busy: another one may have room."""
    import torch

    with pytest.raises(ProviderBusyError, match="out of memory"), in_memory():
        torch.empty(2**60, dtype=torch.uint8)
