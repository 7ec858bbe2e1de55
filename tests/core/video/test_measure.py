"""What is measured of a video, held against ffprobe and against what cannot be one."""

import subprocess

import numpy as np
import pytest

from junctor.core.errors import MediaError
from junctor.core.video.measure import measured
from junctor.core.video.mp4 import Mp4Writer
from tests.core.video.pictures import probe

pytestmark = pytest.mark.tools


@pytest.fixture(name="video", scope="module")
def _video(tmp_path_factory):
    """Two seconds of noise and silence; not to be changed."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    noise = np.random.default_rng(3)
    with Mp4Writer(path, width=96, height=64, rate=24) as mp4:
        for _ in range(48):
            mp4.frame(noise.integers(0, 255, (64, 96, 3), np.uint8))
    return path


def remade(video, path, *arguments):
    """Return what ffmpeg makes of a video."""
    command = ["ffmpeg", "-v", "error", "-i", str(video), *arguments, str(path)]
    subprocess.run(command, check=True)
    return path


def test_measures_what_ffprobe_does(video):
    """Frames, size, rate and lengths are those that ffprobe counts."""
    found, judge = measured(video), probe(video)

    assert int(judge["video"]["nb_read_packets"]) == found.frames == 48
    assert (judge["video"]["width"], judge["video"]["height"]) == (found.width, found.height)
    assert (24, ("h264", "aac")) == (found.rate, found.codecs)
    assert float(judge["video"]["duration"]) == pytest.approx(found.seconds) == 2.0
    assert float(judge["audio"]["duration"]) == pytest.approx(found.sound_seconds, abs=0.002)
    assert video.stat().st_size == found.bytes


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
def test_measures_what_others_write(video, tmp_path, rate):
    """A file of another writer, at another rate and in pieces, is measured as well."""
    pieces = ["-movflags", "frag_keyframe+empty_moov"] if rate == 30 else []
    other = remade(video, tmp_path / "b.mp4", "-r", str(rate), "-t", "1", *pieces)
    found = measured(other)

    assert (rate, rate) == (found.rate, found.frames)
    assert found.seconds == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.1, 0.01, 0.0])
def test_cut_files_are_refused(video, tmp_path, share):
    """A file that promises more than it holds is not measured, however much is left."""
    cut = tmp_path / "cut.mp4"
    whole = video.read_bytes()
    cut.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(MediaError):
        measured(cut)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-an"],
        ["-vn"],
        ["-c:v", "copy", "-c:a", "libmp3lame"],
        ["-c:v", "mpeg4", "-c:a", "copy"],
        ["-map", "0", "-map", "0:a", "-c", "copy"],
        ["-map", "0", "-map", "0:v", "-c", "copy"],
        ["-c", "copy", "-f", "matroska"],
    ],
    ids=["mute", "blind", "mp3", "mpeg4", "two sounds", "two pictures", "matroska"],
)
def test_other_files_are_refused(video, tmp_path, arguments):
    """Anything but one H.264 and one AAC stream in an MP4 is refused."""
    other = remade(video, tmp_path / "b.mp4", *arguments)

    with pytest.raises(MediaError):
        measured(other)


@pytest.mark.parametrize(
    "text", [b"no video", b"\x89PNG\r\n\x1a\n" + bytes(64), b"#EXTM3U\n/etc/x"]
)
def test_what_is_no_video_is_refused(tmp_path, text):
    """Other bytes are refused, and nothing that they name is opened."""
    path = tmp_path / "a.mp4"
    path.write_bytes(text)

    with pytest.raises(MediaError):
        measured(path)


def test_lengths_are_not_taken_on_trust(video, tmp_path):
    """A file whose sound claims to last longer than its packets do is refused."""
    forged = tmp_path / "forged.mp4"
    whole = video.read_bytes()
    place = whole.index(b"stts", whole.index(b"soun"))  # of the sound: how long each packet lasts
    first = place + 12 + 4
    forged.write_bytes(whole[:first] + (4096).to_bytes(4, "big") + whole[first + 4 :])

    with pytest.raises(MediaError, match="as long"):
        measured(forged)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """The system's own error says so."""
    with pytest.raises(FileNotFoundError):
        measured(tmp_path / "a.mp4")
