# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit for `Capability.GENERATE_VIDEO`: pictures set in motion."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.errors import ProviderError, ProviderRejectedError
from junctor.core.providers import Provider, VideoGenerator
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.testing.basics import BasicConformance
from junctor.core.testing.lag import LoopLag
from junctor.core.testing.pictures import picture_of
from junctor.core.video.measure import Measured, measured


class VideoConformance(BasicConformance):
    """An MP4 of just what was asked for; for whoever claims none, nothing."""

    @pytest.fixture
    def scene(self, tmp_path: Path) -> VideoRequest:
        """
        Return what is asked of the provider; the model is filled in.

        Override it with a size and a length that the provider takes.
        """
        return VideoRequest(
            image=picture_of(96, 64),
            prompt="The camera moves slowly forward.",
            seconds=1,
            width=96,
            height=64,
            seed=7,
            target=tmp_path / "video.mp4",
        )

    async def test_makes_the_video(self, started: Provider, scene: VideoRequest) -> None:
        """It has the frames, the rate and the size that were asked for, as H.264 and AAC."""
        found = await self._make(started, scene)

        assert found.frames == scene.seconds * scene.rate
        assert found.rate == pytest.approx(scene.rate)
        assert (found.width, found.height) == (scene.width, scene.height)
        assert found.seconds == pytest.approx(scene.seconds, abs=0.01)
        assert found.sound_seconds == pytest.approx(scene.seconds, abs=0.1)
        assert set(found.codecs) == {"h264", "aac"}

    async def test_tells_how_far_a_video_is(self, started: Provider, scene: VideoRequest) -> None:
        """Progress is told, and grows from 0 to 1 without going back."""
        told: list[VideoProgress] = []
        await self._generate(started, scene, told)
        shares = [one.share for one in told]

        assert told, "nothing was reported"
        assert all(isinstance(one.stage, VideoStage) for one in told)
        assert all(0 <= one.step <= one.steps or not one.steps for one in told)
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1

    @pytest.mark.parametrize("picture", [b"", b"no picture at all"], ids=["empty", "rubbish"])
    async def test_a_bad_picture_is_refused(
        self, started: Provider, scene: VideoRequest, picture: bytes
    ) -> None:
        """What is no picture is the request's fault, not the provider's."""
        with pytest.raises(ProviderRejectedError):
            await self._generate(started, evolve(scene, image=picture))

    async def test_a_target_that_cannot_be_written_is_an_error(
        self, started: Provider, scene: VideoRequest
    ) -> None:
        """A folder that is not there gives an error of ours."""
        with pytest.raises(ProviderError):
            await self._generate(
                started, evolve(scene, target=scene.target.parent / "missing" / "video.mp4")
            )

    async def test_a_video_by_an_unknown_model_is_refused(
        self, started: Provider, scene: VideoRequest
    ) -> None:
        """A model that is on no card gives an error of ours."""
        self._card(started, Capability.GENERATE_VIDEO)
        with pytest.raises(ProviderError):
            await self._generate(started, evolve(scene, model="no-such-model"))

    async def test_videos_do_not_block_the_loop(
        self, started: Provider, scene: VideoRequest
    ) -> None:
        """Other work goes on while a video is made."""
        await self._generate(started, scene)
        async with LoopLag() as lag:
            await self._generate(started, scene)

        assert lag.worst < self.max_lag, f"the event loop was blocked for {lag.worst:.2f} s"

    @pytest.mark.parametrize("moment", ["at once", "under way"])
    async def test_cancelling_a_video_stops_the_work(
        self, started: Provider, scene: VideoRequest, moment: str
    ) -> None:
        """A cancelled video ends at once, its work soon, and the next one is made."""
        self._card(started, Capability.GENERATE_VIDEO)
        told = _Told()
        task = asyncio.create_task(self._generate(started, scene, told))
        if moment == "under way":
            first = asyncio.create_task(told.first.wait())
            await asyncio.wait([task, first], return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            assert not task.done(), "nothing was reported before it was over"
        await self._cancelled(task)
        async with asyncio.timeout(self.prompt):
            await self.stopped(started)
        again = evolve(scene, target=scene.target.with_name("again.mp4"))

        assert (await self._make(started, again)).frames == scene.seconds * scene.rate

    async def _make(self, provider: Provider, scene: VideoRequest) -> Measured:
        await self._generate(provider, scene)
        return await asyncio.to_thread(measured, scene.target)

    async def _generate(
        self, provider: Provider, scene: VideoRequest, told: list[VideoProgress] | None = None
    ) -> None:
        card = self._card(provider, Capability.GENERATE_VIDEO)
        request = evolve(scene, model=scene.model or card.id)
        report = ([] if told is None else told).append
        async with asyncio.timeout(self.patience):
            await cast("VideoGenerator", provider).generate_video(request, report)


class _Told(list[VideoProgress]):
    """What was reported, and when that began; a provider may report from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def append(self, progress: VideoProgress, /) -> None:
        """Take a report."""
        super().append(progress)
        self._loop.call_soon_threadsafe(self.first.set)
