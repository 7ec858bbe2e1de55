"""The part of the kit for videos passes a good provider and catches the bad ones."""

import asyncio
import time

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from junctor.core.testing.pictures import picture_of
from junctor.core.testing.video import VideoConformance


def fake(kind: type[FakeTranscriber] = FakeTranscriber, **fields) -> FakeTranscriber:
    card = fake_card(capabilities=[Capability.GENERATE_VIDEO])
    return kind(cards=[card], **{"then": Say("one two three", gap=0.01), **fields})


@pytest.fixture(name="scene")
def _scene(tmp_path):
    return VideoRequest(
        image=picture_of(32, 32),
        prompt="Closer.",
        seconds=1,
        width=32,
        height=32,
        target=tmp_path / "video.mp4",
    )


class TestFakeGenerator(VideoConformance):
    """A provider of nothing but videos keeps the rules."""

    @pytest.fixture
    def provider(self):
        return fake()

    async def stopped(self, provider):
        while provider.running:
            await provider.settled(len(provider.calls))


class Short(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(evolve(request, rate=20), report)


class Small(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(evolve(request, width=16), report)


class Silent(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(request, lambda _: None)


class Giddy(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(request, report)
        report(VideoProgress(stage=VideoStage.DECODING, share=0.5))


class Credulous(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(evolve(request, image=picture_of(2, 2)), report)


class Homeless(FakeTranscriber):
    async def generate_video(self, request, report, /):
        request.target.parent.mkdir(exist_ok=True)
        await super().generate_video(request, report)


class Careless(FakeTranscriber):
    async def generate_video(self, request, report, /):
        await super().generate_video(evolve(request, model="one"), report)


class Blocking(FakeTranscriber):
    async def generate_video(self, request, report, /):
        time.sleep(0.6)  # noqa: ASYNC251 - that is what is to be caught
        await super().generate_video(request, report)


class Deaf(FakeTranscriber):
    async def generate_video(self, request, report, /):
        try:
            await super().generate_video(request, report)
        except asyncio.CancelledError:
            await super().generate_video(request, report)


@pytest.mark.parametrize(
    ("kind", "test", "extra"),
    [
        (Short, "makes_the_video", ()),
        (Small, "makes_the_video", ()),
        (Silent, "tells_how_far_a_video_is", ()),
        (Giddy, "tells_how_far_a_video_is", ()),
        (Credulous, "a_bad_picture_is_refused", (b"",)),
        (Homeless, "a_target_that_cannot_be_written_is_an_error", ()),
        (Careless, "a_video_by_an_unknown_model_is_refused", ()),
        (Blocking, "videos_do_not_block_the_loop", ()),
        (Deaf, "cancelling_a_video_stops_the_work", ("at once",)),
        (Deaf, "cancelling_a_video_stops_the_work", ("under way",)),
        (Silent, "cancelling_a_video_stops_the_work", ("under way",)),
    ],
)
async def test_catches_the_broken(scene, kind, test, extra):
    """Each way to break the rules fails its test."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await getattr(VideoConformance(), f"test_{test}")(fake(kind), scene, *extra)


async def test_the_fake_does_as_it_is_told(scene):
    """It fails, and hangs until it is cancelled, and tells what was asked."""
    error = ProviderUnavailableError("Down.", provider="fake")
    told = fake(script=[Fail(error), Hang(items=1)])
    request = evolve(scene, model="one")
    with pytest.raises(ProviderUnavailableError):
        await told.generate_video(request, print)
    task = asyncio.create_task(told.generate_video(request, print))
    await told.called(2)
    task.cancel()

    assert (await told.settled(2)).outcome == "cancelled"
    assert told.requests == [request, request]


async def test_the_fake_refuses_what_it_cannot_do(scene):
    """A model without a card."""
    with pytest.raises(ProviderRejectedError):
        await fake().generate_video(evolve(scene, model="two"), print)


def test_pictures_have_their_size():
    """The PNG that is made without a library is one for a library."""
    import io

    import av

    with av.open(io.BytesIO(picture_of(6, 4)), "r") as file:
        pixels = next(file.decode(video=0)).to_ndarray(format="rgb24")

    assert pixels.shape == (4, 6, 3)
    assert pixels[3, 5].tolist() == [255 * 5 // 6, 255 * 3 // 4, 128]
