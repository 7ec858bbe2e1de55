"""The camera over a picture: its videos by ffprobe, its faults, and the rules of every provider."""

import asyncio
import errno
import io
import os
import resource
import signal
import struct

import numpy as np
import pytest
import pytest_asyncio
from attrs import evolve
from PIL import Image

from junctor.conf.settings import Settings
from junctor.core.cards import Capability
from junctor.core.errors import ConfigError, ProviderRejectedError, ProviderUnavailableError
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.testing.pictures import picture_of
from junctor.core.video.measure import measured
from junctor.core.video.sizes import size_of
from junctor.plugins.local.stills import StillsProvider, StillsSettings, junctor_providers
from tests.core.video.pictures import frames, probe, scene, similarity, sound

AAC = 1024 / 48_000


def png(width, height):
    """Return a PNG with shapes, edges and texture."""
    file = io.BytesIO()
    Image.fromarray(scene(width, height)).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.slow
class TestStills(ProviderConformance):
    """The rules of every provider; one engine does all."""

    loop_scope = "class"

    @pytest.fixture
    def provider(self):
        return StillsProvider(StillsSettings())

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def started(cls):  # type: ignore[override]
        provider = StillsProvider(StillsSettings())
        await provider.start()
        yield provider
        await provider.close()

    @pytest.fixture
    def clip(self):
        return silent_clip()

    async def stopped(self, provider):
        while provider.engines()["camera-moves"].running:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


@pytest.fixture(name="stills", scope="module")
def _stills():
    """One loaded engine, on a loop of its own, and what runs on it."""
    with asyncio.Runner() as runner:
        provider = StillsProvider(StillsSettings(max_seconds=60))
        yield lambda request, told=lambda _: None: runner.run(
            provider.generate_video(request, told)
        )
        runner.run(provider.close())


@pytest.fixture(name="asked")
def _asked(tmp_path):
    """A small video of two seconds; to be evolved."""
    return VideoRequest(
        image=picture_of(96, 64), prompt="zoom in", seconds=2, width=96, height=64,
        target=tmp_path / "video.mp4",
    )  # fmt: skip


@pytest_asyncio.fixture(name="provider")
async def _provider():
    """An engine of this test's own."""
    provider = StillsProvider(StillsSettings())
    yield provider
    await provider.close()


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize("resolution", ["480p", "720p"])
@pytest.mark.parametrize("aspect_ratio", ["16:9", "9:16", "1:1"])
def test_makes_every_size(stills, asked, aspect_ratio, resolution):
    """Every shape is what ffprobe calls H.264 and AAC of that size, and begins with the picture."""
    size = size_of(aspect_ratio, resolution)
    wide, high = size.width, size.height
    stills(evolve(asked, image=png(wide, high), width=wide, height=high, seconds=1))
    found = probe(asked.target)

    assert (wide, high) == (found["video"]["width"], found["video"]["height"])
    assert ("h264", "aac") == (found["video"]["codec_name"], found["audio"]["codec_name"])
    assert similarity(scene(wide, high), frames(asked.target)[0]) >= 0.98


@pytest.mark.tools
@pytest.mark.parametrize("seconds", range(2, 11))
def test_makes_every_length(stills, asked, seconds):
    """It has just the frames and just the sound of the seconds that were asked for."""
    stills(evolve(asked, seconds=seconds))
    found = probe(asked.target)
    lengths = [float(found[part]["duration"]) for part in ("video", "audio", "format")]

    assert str(24 * seconds) == found["video"]["nb_read_packets"]
    assert "24/1" == found["video"]["avg_frame_rate"]
    assert lengths == pytest.approx([seconds] * 3, abs=AAC)


@pytest.mark.parametrize("prompt", ["pan left", "แพนกล้องไปทางซ้าย"])
def test_the_picture_moves_as_the_prompt_says(stills, asked, prompt):
    """A pan to the left ends nearer to the left third of the picture than to its right one."""
    picture = scene(320, 180)
    stills(evolve(asked, image=png(320, 180), width=320, height=180, prompt=prompt))
    last = Image.fromarray(frames(asked.target)[-1])
    crops = [Image.fromarray(picture).crop((x, 20, x + 249, 160)) for x in (1, 70)]
    near, far = (similarity(_array(crop.resize((320, 180))), _array(last)) for crop in crops)

    assert near > far + 0.1


def _array(image):
    return np.asarray(image.convert("RGB"))


def test_a_seed_gives_the_same_file_again(stills, asked):
    """The same request gives the same bytes, another seed others."""
    files = []
    for seed in (1, 1, 2):
        stills(evolve(asked, seed=seed))
        files.append(asked.target.read_bytes())

    assert files[0] == files[1] != files[2]


def test_is_silent(stills, asked):
    """There is a track of sound, and nothing is to be heard in it."""
    stills(asked)

    assert abs(sound(asked.target)).max() < 1e-4


def test_tells_how_far_it_is(stills, asked):
    """Frames are counted, the share grows, and the file is written last."""
    told: list[VideoProgress] = []
    stills(asked, told.append)
    drawn = [one for one in told if one.stage is VideoStage.GENERATING]

    assert [0, 6, 12, 18, 24, 30, 36, 42] == [one.step for one in drawn]
    assert {48} == {one.steps for one in drawn}
    assert sorted(one.share for one in told) == [one.share for one in told]
    assert VideoStage.ENCODING is told[-1].stage


def _bomb():
    header = b"IHDR" + struct.pack(">2I5B", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + bytes(4)


@pytest.mark.parametrize(
    "image",
    [b"", b"no picture", picture_of(96, 64)[:80], picture_of(64, 96), _bomb()],
    ids=["nothing", "text", "cut", "other size", "bomb"],
)
def test_bad_pictures_are_refused(stills, asked, image):
    """What is no PNG of the video's size is refused, and leaves no file."""
    with pytest.raises(ProviderRejectedError, match="picture"):
        stills(evolve(asked, image=image))

    assert not asked.target.exists()


def test_too_long_is_refused(asked):
    """A video over the bound of the settings is refused before a process is started."""
    provider = StillsProvider(StillsSettings(max_seconds=5))

    with pytest.raises(ProviderRejectedError, match="5 seconds"):
        asyncio.run(provider.generate_video(evolve(asked, seconds=6), lambda _: None))
    assert 5.0 == provider.models()[0].max_seconds


@pytest.mark.parametrize("seconds", [0, 61])
def test_bounds_of_the_length_are_checked(seconds):
    """A longest video of nothing, or of more than a minute, is a wrong setting."""
    with pytest.raises(ConfigError):
        junctor_providers(Settings(plugins={"stills": {"max_seconds": seconds}}))


async def begun(provider, request):
    """Start a video, and return its task once frames are drawn."""
    drawn = asyncio.Event()

    def told(progress):
        if progress.step:
            drawn.set()

    task = asyncio.create_task(provider.generate_video(request, told))
    await drawn.wait()
    return task


async def stopped(provider):
    """Wait until the engine has nothing under way."""
    while provider.engines()["camera-moves"].running:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)


async def test_a_cancel_stops_the_work_and_takes_the_file(provider, asked):
    """The child stops within a frame, leaves no file, and is there for the next video."""
    long = evolve(asked, seconds=10, width=640, height=480, image=png(640, 480))
    task = await begun(provider, long)
    pid = provider.engines()["camera-moves"].pid
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(5):
        await stopped(provider)

    assert task.cancelled()
    assert not asked.target.exists()
    assert provider.engines()["camera-moves"].pid == pid


async def test_a_killed_child_fails_its_video_only(provider, asked):
    """Kill -9 under way is an error of ours; the next video is made by a new child."""
    long = evolve(asked, seconds=10, width=640, height=480, image=png(640, 480))
    task = await begun(provider, long)
    os.kill(provider.engines()["camera-moves"].pid, signal.SIGKILL)
    with pytest.raises(ProviderUnavailableError, match="crashed"):
        await task
    again = await _patiently(provider, evolve(asked, target=asked.target.with_name("again.mp4")))

    assert 48 == measured(again).frames


async def _patiently(provider, request):
    """Make a video as soon as the engine may be started again."""
    while True:
        try:
            await provider.generate_video(request, lambda _: None)
        except ProviderUnavailableError as error:
            await asyncio.sleep(error.retry_after or 0)
        else:
            return request.target


async def test_no_room_is_said_and_leaves_nothing(provider, asked):
    """Where no more can be written, the error says so and not where; with room it goes on."""
    await provider.generate_video(asked, lambda _: None)
    pid = provider.engines()["camera-moves"].pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, most))
    with pytest.raises(ProviderUnavailableError, match=os.strerror(errno.EFBIG)) as caught:
        await provider.generate_video(asked, lambda _: None)
    assert not asked.target.exists()
    assert str(asked.target) not in str(caught.value)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    await provider.generate_video(asked, lambda _: None)

    assert 48 == measured(asked.target).frames


def test_card_is_honest():
    """It needs no settings, and its card says that no model runs and that nothing is heard."""
    [provider] = junctor_providers(Settings())
    [card] = provider.models()

    assert ("stills:camera-moves", {Capability.GENERATE_VIDEO}) == (card.name, card.capabilities)
    assert "no model" in card.summary
    assert "silence" in card.summary
    assert (0.1, 0.0, 10.0) == (card.quality, card.price, card.max_seconds)
