"""The MP4 that is written, judged by ffprobe and by decoding it again."""

import errno
import subprocess
import sys

import numpy as np
import pytest

from junctor.core.video.mp4 import Mp4Writer
from tests.core.video.pictures import frames, probe, scene, similarity, sound

pytestmark = pytest.mark.tools

WIDTH, HEIGHT, RATE = 96, 64, 24
AAC = 1024 / 48_000


def written(path, count, *, sounds=(), size=(WIDTH, HEIGHT), **fields):
    """Write frames that grow brighter, each sound before the frame of its number."""
    blocks = dict(sounds)
    with Mp4Writer(path, width=size[0], height=size[1], rate=RATE, **fields) as mp4:
        for number in range(count):
            if number in blocks:
                mp4.sound(blocks[number])
            mp4.frame(np.full((size[1], size[0], 3), 16 + number % 200, np.uint8))
    return path


def tone(samples, *, hertz=440.0):
    """Return a stereo tone of 48,000 Hz."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / 48_000)
    return np.stack([wave, wave]).astype(np.float32)


@pytest.mark.parametrize("count", [1, 24, 49, 121, 240])
def test_has_just_the_frames_it_was_given(tmp_path, count):
    """Picture, sound and file last as long as so many frames, to less than a frame of AAC."""
    found = probe(written(tmp_path / "a.mp4", count))
    lengths = [float(found[part]["duration"]) for part in ("video", "audio", "format")]

    assert str(count) == found["video"]["nb_frames"] == found["video"]["nb_read_packets"]
    assert "24/1" == found["video"]["avg_frame_rate"]
    assert lengths == pytest.approx([count / RATE] * 3, abs=AAC)


def test_is_what_every_player_takes(tmp_path):
    """H.264 High in 4:2:0, BT.709 and limited range said so, and AAC-LC, stereo, 48,000 Hz."""
    found = probe(written(tmp_path / "a.mp4", 48))
    video, audio = found["video"], found["audio"]
    colours = ("color_space", "color_transfer", "color_primaries")

    assert ("h264", "High", "yuv420p") == (video["codec_name"], video["profile"], video["pix_fmt"])
    assert {"bt709"} == {video[name] for name in colours}
    assert "tv" == video["color_range"]
    assert ("aac", "LC") == (audio["codec_name"], audio["profile"])
    assert ("48000", 2) == (audio["sample_rate"], audio["channels"])


def test_says_nothing_of_the_machine(tmp_path):
    """No time and no place of its making is in the file; the encoder names itself."""
    found = probe(written(tmp_path / "a.mp4", 2))

    assert {"major_brand", "minor_version", "compatible_brands", "encoder"} == set(
        found["format"]["tags"]
    )
    assert "creation_time" not in found["video"]["tags"]


def test_plays_before_it_has_all_arrived(tmp_path):
    """The index is in front of what it points to, and a player can start every two seconds."""
    path = written(tmp_path / "a.mp4", 144)
    asked = ["-select_streams", "v", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0"]
    said = subprocess.run(
        ["ffprobe", "-v", "error", *asked, str(path)], check=True, capture_output=True, text=True
    ).stdout
    starts = [float(line.split(",")[0]) for line in said.splitlines() if ",K" in line]

    gaps = np.diff([*starts, 6.0])

    assert 0.0 == starts[0]
    assert gaps.max() <= 2.0
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


def test_colours_come_back(tmp_path):
    """What is decoded is what was given: BT.709 both ways, white is white and black is black."""
    colours = [(255, 255, 255), (0, 0, 0), (200, 30, 30), (30, 160, 60), (40, 60, 200)]
    path = tmp_path / "a.mp4"
    with Mp4Writer(path, width=WIDTH, height=HEIGHT, rate=RATE) as mp4:
        for colour in colours:
            mp4.frame(np.full((HEIGHT, WIDTH, 3), colour, np.uint8))
    seen = [frame.mean(axis=(0, 1)) for frame in frames(path)]

    assert np.array(seen) == pytest.approx(np.array(colours), abs=3.5)


@pytest.mark.parametrize("size", [(854, 480), (480, 854), (96, 64), (2, 2)])
def test_pictures_come_back(tmp_path, size):
    """The first frame is the picture, at widths that are no multiple of anything, too."""
    picture = scene(*size)
    path = tmp_path / "a.mp4"
    with Mp4Writer(path, width=size[0], height=size[1], rate=RATE) as mp4:
        for _ in range(6):
            mp4.frame(picture)
    seen = frames(path)[0]

    assert picture.shape == seen.shape
    assert size == (2, 2) or similarity(picture, seen) >= 0.98


@pytest.mark.parametrize("block", [1, 777, 2000, 48_000, 96_000])
def test_sound_comes_back(tmp_path, block):
    """Whatever pieces it comes in, the sound is there, whole and in its place."""
    wave = tone(2 * 48_000)
    path = tmp_path / "a.mp4"
    with Mp4Writer(path, width=WIDTH, height=HEIGHT, rate=RATE) as mp4:
        for first in range(0, 2000 if block == 1 else 96_000, block):
            mp4.sound(wave[:, first : first + block])
        for _ in range(48):
            mp4.frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    heard, given = sound(path)[0][: 2 * 48_000], wave[0].copy()
    given[2000 if block == 1 else 96_000 :] = 0

    assert np.abs(heard[1024:90_000] - given[1024:90_000]).mean() < 0.02


def test_too_much_sound_is_left_out(tmp_path):
    """Sound that would outlast the frames ends with them."""
    path = written(tmp_path / "a.mp4", 24, sounds=[(0, tone(480_000))])

    assert float(probe(path)["audio"]["duration"]) == pytest.approx(1.0, abs=AAC)


def test_missing_sound_is_silence(tmp_path):
    """Sound that ends early is followed by silence to the end of the frames."""
    path = written(tmp_path / "a.mp4", 48, sounds=[(0, tone(24_000))])
    heard = sound(path)[0]

    assert np.abs(heard[4_000:20_000]).mean() > 0.2
    assert np.abs(heard[28_000:]).max() < 0.01
    assert float(probe(path)["audio"]["duration"]) == pytest.approx(2.0, abs=AAC)


def test_picture_and_sound_lie_side_by_side(tmp_path):
    """Sound that is given at once is spread over the file, as a player wants to read it."""
    path = written(tmp_path / "a.mp4", 96, sounds=[(0, tone(192_000))])
    asked = ["-show_entries", "packet=codec_type,pts_time", "-of", "csv=p=0"]
    said = subprocess.run(
        ["ffprobe", "-v", "error", *asked, str(path)], check=True, capture_output=True, text=True
    ).stdout
    kinds = [line.split(",")[0] for line in said.splitlines()]

    assert 0.25 < kinds[: len(kinds) // 2].count("audio") / kinds.count("audio") < 0.75


@pytest.mark.parametrize("size", [(95, 64), (96, 63), (0, 64), (96, -2)])
def test_odd_sizes_are_refused(tmp_path, size):
    """What 4:2:0 cannot hold is refused before a file is there."""
    with pytest.raises(ValueError, match="even sides"):
        Mp4Writer(tmp_path / "a.mp4", width=size[0], height=size[1], rate=RATE)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(64, 96), (96, 64, 3), (64, 96, 4)])
def test_other_shapes_are_refused(tmp_path, shape):
    """A frame of another shape is no frame, and leaves no file."""
    with (
        pytest.raises(ValueError, match="shape"),
        Mp4Writer(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, rate=RATE) as mp4,
    ):
        mp4.frame(np.zeros(shape, np.uint8))

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(100,), (1, 100), (100, 2)])
def test_other_sound_is_refused(tmp_path, shape):
    """Sound that is not stereo is refused, and leaves no file."""
    with (
        pytest.raises(ValueError, match="Stereo"),
        Mp4Writer(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, rate=RATE) as mp4,
    ):
        mp4.sound(np.zeros(shape, np.float32))

    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    """Where nothing can be written, the system's own error says so."""
    with pytest.raises(FileNotFoundError):
        Mp4Writer(tmp_path / "missing" / "a.mp4", width=WIDTH, height=HEIGHT, rate=RATE)


def test_an_abandoned_file_is_removed(tmp_path):
    """Whoever leaves by an error leaves nothing."""
    mp4 = Mp4Writer(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, rate=RATE)
    mp4.frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    mp4.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert [] == list(tmp_path.iterdir())


def test_a_video_without_frames_is_refused(tmp_path):
    """Sound alone is no video."""
    with (
        pytest.raises(ValueError, match="one frame"),
        Mp4Writer(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, rate=RATE) as mp4,
    ):
        mp4.sound(tone(100))

    assert [] == list(tmp_path.iterdir())


_FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from junctor.core.video.mp4 import Mp4Writer
path, limit = Path(sys.argv[1]), int(sys.argv[2])
noise = np.random.default_rng(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with Mp4Writer(path, width=96, height=64, rate=24) as mp4:
        for _ in range(24):
            mp4.frame(noise.integers(0, 255, (64, 96, 3), np.uint8))
except OSError as error:
    print(error.errno, path.exists())
else:
    print(path.stat().st_size)
"""


@pytest.mark.parametrize("room", [0, 1000, 60_000, -500, -1])
def test_a_full_disk_leaves_nothing(tmp_path, room):
    """Wherever the room ends, in frames, index or the move of both, there is an error and no file."""

    def write(limit):
        command = [sys.executable, "-c", _FULL, str(tmp_path / "a.mp4"), str(limit)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    limit = room if room >= 0 else int(write(10_000_000)[0]) + room

    assert [str(errno.EFBIG), "False"] == write(limit)


_LONG = """
import resource, sys
from pathlib import Path
import numpy as np
from junctor.core.video.mp4 import Mp4Writer
noise = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
for count in (120, 480):
    with Mp4Writer(Path(sys.argv[1]), width=320, height=180, rate=24) as mp4:
        for number in range(count):
            mp4.frame(np.roll(noise, number, axis=1))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Four times the length takes the memory of one, give or take 4 MiB."""
    command = [sys.executable, "-c", _LONG, str(tmp_path / "a.mp4")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    short, long = map(int, said.split())

    assert long - short < 4096
