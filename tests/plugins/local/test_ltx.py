"""LTX-2.3's provider, with a model of random numbers that the tests make themselves."""

import asyncio
import os
import shutil
import signal
import time
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from attrs import evolve
from PIL import Image

from junctor.conf.settings import Settings
from junctor.core.engine.spec import EngineState
from junctor.core.errors import (
    NotConfiguredError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.testing.pictures import picture_of
from junctor.core.testing.video import VideoConformance
from junctor.plugins.local.ltx import LtxProvider, junctor_providers
from junctor.plugins.local.ltx_settings import LtxSettings, LtxVariantSettings
from tests.core.video.pictures import frames, probe, similarity, sound
from tests.core.video.pictures import scene as picture

VARIANTS = ("standard", "fast", "quality", "full", "distilled")
LONG = 500
"""Steps that nobody waits for."""


def settings_of(folder, **fields):
    """Settings of the tiny model: few steps, and blocks that it has."""
    small = LtxVariantSettings(steps=2, stg_blocks=(1,))
    changes: dict[Any, LtxVariantSettings] = dict.fromkeys(VARIANTS, small)
    changes["full"] = LtxVariantSettings(steps=LONG, stg_blocks=(1,))
    return LtxSettings(
        base=str(folder / "base"),
        distilled_lora=str(folder / "lora.safetensors"),
        upsampler=str(folder / "upsampler"),
        device="cpu",
        dtype="fp32",
        max_sequence_length=32,
        variants=changes,
        **fields,
    )


def png(pixels):
    """The picture as a file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def once_stepped(told):
    """What a provider reports to: it says when the first step is done."""

    def report(progress):
        if progress.step:
            told.set()

    return report


def apart(one, other):
    """How far the pixels of two videos are apart in the mean, of 255."""
    return np.abs(one.astype(int) - other).mean()


async def settled(provider):
    """Wait until nothing is done any more."""
    while provider.engines()["fast"].running:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(180)
class TestLtx(VideoConformance):
    """The rules of every provider, and what a video must be; one engine does all."""

    loop_scope = "class"
    patience = 120.0

    @pytest.fixture
    def provider(self, ltx_folder):
        return LtxProvider(settings_of(ltx_folder))

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls, ltx_folder):
        provider = LtxProvider(settings_of(ltx_folder))
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def scene(self, tmp_path):
        return VideoRequest(
            image=picture_of(64, 64), prompt="a robot dances", seconds=1, width=64, height=64,
            seed=7, target=tmp_path / "video.mp4", model="fast",
        )  # fmt: skip

    async def stopped(self, provider):
        await settled(provider)

    async def test_odd_sizes_and_exact_lengths(self, started, scene):
        """Neither 100 nor 70 is a multiple of 32; ffprobe finds what was asked, and the picture."""
        pixels = picture(100, 70)
        asked = evolve(scene, image=png(pixels), width=100, height=70, seconds=2)
        await started.generate_video(asked, lambda _: None)
        found = probe(asked.target)
        video, audio = found["video"], found["audio"]
        first, second, *_ = frames(asked.target)

        assert ("h264", 100, 70, "24/1", "48") == (
            video["codec_name"], video["width"], video["height"], video["r_frame_rate"],
            video["nb_read_packets"],
        )  # fmt: skip
        assert ("aac", "48000", 2) == (
            audio["codec_name"], audio["sample_rate"], audio["channels"],
        )  # fmt: skip
        assert 2.0 == pytest.approx(float(audio["duration"]), abs=0.03)
        assert similarity(first, pixels) > 0.9 > similarity(second, pixels)
        assert np.abs(sound(asked.target)).max() > 0

    @pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "full"])
    async def test_every_variant_runs(self, started, scene, variant):
        """One pass or two, with guidance or without: each tells all its steps."""
        told: list[VideoProgress] = []
        await started.generate_video(evolve(scene, model=variant), told.append)
        steps = [one for one in told if one.stage is VideoStage.GENERATING]
        count = {"standard": 2, "fast": 2, "quality": 5, "distilled": 5}[variant]

        assert list(range(1, count + 1)) == [one.step for one in steps]
        assert {count} == {one.steps for one in steps}
        assert list(VideoStage)[1:] == list(dict.fromkeys(one.stage for one in told))[-4:]

    async def test_seed_decides(self, started, scene):
        """The same seed gives the same frames and sound but for rounding, another one others."""
        made = []
        for number, seed in enumerate((3, 3, 4)):
            asked = evolve(scene, seed=seed, target=scene.target.with_name(f"{number}.mp4"))
            await started.generate_video(asked, lambda _: None)
            made.append((np.stack(frames(asked.target)), sound(asked.target)))
        (one, hum), (same, same_hum), (other, _) = made

        assert apart(one, same) < 2 < apart(one, other)
        assert np.abs(hum - same_hum).mean() < 0.1 * np.abs(hum).mean()

    async def test_cancel_within_a_step(self, started, scene):
        """A video of 500 steps stops within one, and leaves no file."""
        told = asyncio.Event()
        task = asyncio.create_task(
            started.generate_video(evolve(scene, model="full"), once_stepped(told))
        )
        await told.wait()
        begun = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        await settled(started)

        assert time.monotonic() - begun < 1.0
        assert task.cancelled()
        assert not scene.target.exists()

    async def test_killed_in_a_step(self, started, scene):
        """A child that is killed fails its video and nothing else: the next one is made."""
        told = asyncio.Event()
        task = asyncio.create_task(
            started.generate_video(evolve(scene, model="full"), once_stepped(told))
        )
        await told.wait()
        os.kill(started.engines()["full"].pid, signal.SIGKILL)
        with pytest.raises(ProviderUnavailableError):
            await task
        while started.engines()["full"].state is EngineState.BACKOFF:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        told_again: list[VideoProgress] = []
        await started.generate_video(scene, told_again.append)

        assert VideoStage.LOADING is told_again[0].stage
        assert "24" == probe(scene.target)["video"]["nb_read_packets"]

    async def test_too_long(self, started, scene):
        """What the model was not taught is refused before anything is done."""
        with pytest.raises(ProviderRejectedError, match="up to 20 seconds"):
            await started.generate_video(evolve(scene, seconds=21), lambda _: None)


async def test_damaged_weights(ltx_folder, tmp_path):
    """A file that was not copied to its end is told of before anything is loaded."""
    shutil.copytree(ltx_folder / "base", tmp_path / "base")
    weights = tmp_path / "base" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    provider = LtxProvider(LtxSettings(base=str(tmp_path / "base"), device="cpu"))
    asked = VideoRequest(
        image=picture_of(64, 64), prompt="", seconds=1, width=64, height=64,
        target=tmp_path / "video.mp4", model="standard",
    )  # fmt: skip
    with pytest.raises(ProviderUnavailableError, match="damaged"):
        await provider.generate_video(asked, lambda _: None)
    await provider.close()


def test_sits_out():
    """Without weights there is nothing to offer."""
    with pytest.raises(NotConfiguredError, match=r"plugins\.ltx\.base"):
        junctor_providers(Settings())


def test_one_table_is_enough(tmp_path):
    """A folder of the full model serves what it can make alone."""
    [provider] = junctor_providers(Settings(plugins={"ltx": {"base": str(tmp_path)}}))

    assert ["standard", "full"] == [card.id for card in provider.models()]
