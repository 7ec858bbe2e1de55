"""Every format decoded, every limit held, every kind of rubbish refused."""

import struct
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from junctor.core.audio.decode import decode
from junctor.core.errors import ClientGoneError, MediaError, TooLongError
from tests.media import (
    FORMATS,
    RATE,
    make_bomb,
    make_media,
    make_silent_video,
    make_tone,
    make_wav,
)

EXACT = ("wav", "flac", "aiff", "mkv")
SECONDS = 2.0
HOURS = 10


@pytest.fixture(name="media", scope="module")
def _media() -> dict[str, bytes]:
    return {extension: make_media(extension, SECONDS) for extension in FORMATS}


def similarity(samples: NDArray[np.float32], *, hertz: float = 440.0) -> float:
    """Correlate with the tone that was encoded, whatever its phase: 1 for the very tone."""
    time_ = np.arange(len(samples)) / 16_000
    turning = np.exp(2j * np.pi * hertz * time_)

    return float(
        abs(np.dot(samples, turning)) / np.linalg.norm(samples) / (len(samples) / 2) ** 0.5
    )


@pytest.fixture(name="bomb", scope="module")
def _bomb() -> bytes:
    return make_bomb(HOURS * 3600)


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_decodes(media: dict[str, bytes], extension: str) -> None:
    """Each container gives mono 16 kHz of the right tone and, within its padding, length."""
    decoded = decode(media[extension], max_seconds=60)

    assert np.float32 == decoded.samples.dtype
    assert similarity(decoded.samples) > 0.98
    assert abs(decoded.frames / decoded.rate - SECONDS) < 0.1
    assert abs(len(decoded.samples) / 16_000 - decoded.frames / decoded.rate) < 0.001


@pytest.mark.parametrize("extension", EXACT)
def test_lossless_formats_are_exact(media: dict[str, bytes], extension: str) -> None:
    """Where nothing is padded, the length is exact to the sample."""
    decoded = decode(media[extension], max_seconds=60)

    assert (round(SECONDS * RATE), RATE) == (decoded.frames, decoded.rate)
    assert round(SECONDS * 16_000) == len(decoded.samples)


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_16_khz_mono_is_bit_exact(extension: str) -> None:
    """Speech that needs no change is not changed."""
    tone = make_tone(1.5, 16_000)
    decoded = decode(make_media(extension, rate=16_000, samples=tone), max_seconds=60)

    assert np.abs(decoded.samples - tone).max() <= 1 / 32768


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "m4a"])
@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_mixed(extension: str, channels: int) -> None:
    """Several channels become one."""
    rate = 48_000
    decoded = decode(make_media(extension, rate=rate, channels=channels), max_seconds=60)

    assert 1 == decoded.samples.ndim
    assert similarity(decoded.samples) > 0.99


def test_many_planes_do_not_crash() -> None:
    """More planes than PyAV can count, as a broken AAC header claims too, are mixed like any."""
    decoded = decode(make_media("webm", rate=48_000, channels=16), max_seconds=60)

    assert similarity(decoded.samples) > 0.99


def test_claimed_chunks_cost_no_memory() -> None:
    """A WAV chunk that claims gigabytes is not believed, nor is anything allocated for it."""
    lie = b"LIST" + struct.pack("<I", 3_000_000_000) + b"INFOISFT" + struct.pack("<I", 2**31 - 64)
    for tag in (1, 2):
        data = make_wav(bytes(100), tag=tag)
        data = data.replace(b"data", lie + b"data")
        start = time.thread_time()
        with pytest.raises(MediaError, match="no sound"):
            decode(data, max_seconds=60)

        assert time.thread_time() - start < 0.1


@pytest.mark.parametrize(
    ("sample_type", "tag", "scale"),
    [
        ("u1", 1, 127),
        ("<i2", 1, 32767),
        ("<i4", 1, 2**31 - 1),
        ("<f4", 3, 1),
        ("<f8", 3, 1),
        ("<f4", 0xFFFE, 1),
    ],
)
def test_wav_sample_types(sample_type: str, tag: int, scale: int) -> None:
    """Every plain sample type decodes to the same tone."""
    dtype, tone = np.dtype(sample_type), make_tone(0.5, 16_000)
    zero = 128.5 if sample_type == "u1" else 0
    body = (tone.astype(np.float64) * scale + zero).astype(dtype).tobytes()
    decoded = decode(make_wav(body, tag=tag, bits=dtype.itemsize * 8), max_seconds=60)

    assert np.abs(decoded.samples - tone).max() < 0.01


def test_24_bit_wav() -> None:
    """Packed 24-bit samples, positive and negative, are read."""
    body = b"\0\0\x40" + b"\0\0\xc0" + b"\xff\xff\x7f"
    decoded = decode(make_wav(body, bits=24), max_seconds=60)

    assert [0.5, -0.5, 1.0] == pytest.approx(decoded.samples.tolist(), abs=1e-6)


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_samples_are_sane(rate: int, dtype: str) -> None:
    """No NaN or infinity, and nothing beyond full scale, gets through."""
    tone = make_tone(0.5, rate).astype(dtype)
    tone[100:104] = [np.nan, np.inf, -np.inf, np.finfo(dtype).max]
    data = make_wav(tone.tobytes(), tag=3, rate=rate, bits=8 * tone.itemsize)
    samples = decode(data, max_seconds=60).samples

    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1
    assert similarity(samples) > 0.9


@pytest.mark.parametrize("tag", [6, 7])
def test_companded_wav_is_decoded_by_ffmpeg(tag: int) -> None:
    """A-law and mu-law telephone recordings are read, to the exact frame."""
    decoded = decode(make_wav(bytes(4_000), tag=tag, rate=8_000, bits=8), max_seconds=60)

    assert (4_000, 8_000) == (decoded.frames, decoded.rate)


@pytest.mark.parametrize("extension", sorted(set(FORMATS) - {"m4a", "mp4"}))
def test_truncated_files_decode_to_what_is_there(media: dict[str, bytes], extension: str) -> None:
    """A file cut in the middle gives about its first half."""
    data = media[extension]
    decoded = decode(data[: len(data) // 2], max_seconds=60)

    assert 0.4 < decoded.frames / decoded.rate < 1.6


def test_damaged_packets_are_left_out(media: dict[str, bytes]) -> None:
    """Some rubbish in the middle costs a moment of sound, not the recording."""
    data = bytearray(media["mp3"])
    data[len(data) // 2 : len(data) // 2 + 300] = b"\xaa" * 300
    decoded = decode(bytes(data), max_seconds=60)

    assert decoded.frames / decoded.rate == pytest.approx(SECONDS, abs=0.4)


REFUSED = {
    "empty": (b"", "is empty"),
    "text": (b"hello world, this is no audio", "not audio of a known format"),
    "zeros": (b"\0" * 1000, "not audio of a known format"),
    "broken ogg": (b"OggS" + b"\1" * 1000, "cannot be decoded"),
    "broken mp4": (b"\0\0\0\x18ftypM4A " + b"\0" * 500, "cannot be decoded"),
    "empty wav": (make_wav(b""), "no audio samples"),
    "empty mu-law wav": (make_wav(b"", tag=7, bits=8), "no audio samples"),
    "no audio track": (make_silent_video(), "no audio track"),
}


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_to_send(data: bytes, sentence: str) -> None:
    """What is no recording is refused with its fault and the formats that work."""
    with pytest.raises(MediaError, match=sentence) as caught:
        decode(data, max_seconds=60)

    assert "Send a" in str(caught.value)


def test_mp4_without_its_index_is_refused(media: dict[str, bytes]) -> None:
    """An mp4 whose index at the end is gone cannot be read by anyone."""
    with pytest.raises(MediaError):
        decode(media["m4a"][:2000], max_seconds=60)


@pytest.mark.parametrize("extension", FORMATS)
def test_too_long(media: dict[str, bytes], extension: str) -> None:
    """The limit holds for every format, declared or counted."""
    with pytest.raises(TooLongError, match="longer than the 1 seconds"):
        decode(media[extension], max_seconds=1)


@pytest.mark.parametrize("declared", [0, 30, HOURS * 3600])
@pytest.mark.parametrize("limit", [30, 600, 3600])
def test_bombs_are_refused_fast(bomb: bytes, declared: int, limit: int) -> None:
    """Hours in a small file cost a fraction of a second, whatever its header says."""
    data = bomb[:22] + (declared * 16_000).to_bytes(4, "big") + bomb[26:]
    assert len(data) < 150_000
    start = time.thread_time()
    with pytest.raises(TooLongError):
        decode(data, max_seconds=limit)

    assert time.thread_time() - start < 0.5


def test_long_recordings_within_the_limit_are_whole() -> None:
    """Counting ahead takes nothing away."""
    decoded = decode(make_bomb(600, block=16_000), max_seconds=600)

    assert (600 * 16_000, 600 * 16_000) == (decoded.frames, len(decoded.samples))


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_stop_ends_the_work(media: dict[str, bytes], extension: str) -> None:
    """Once the event is set nothing more is decoded."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(ClientGoneError):
        decode(media[extension], max_seconds=60, stop=stop)

    assert stop.is_set()


MAGIC = [b"", b"fLaC", b"OggS", b"ID3\x04\0\0", b"\xff\xfb\x90\x44", b"\xff\xf1\x50\x80"]
MAGIC += [
    b"RIFF\0\0\0\0WAVE",
    b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
    b"\x1a\x45\xdf\xa3",
    b"FORM\0\0\0\0AIFF",
]
MAGIC += [
    b"\0\0\0\x18ftypM4A ",
    b"\0\0\0\x18ftypisom",
    b"#!AMR\n",
    b".snd\0\0\0\x18",
    b"caff\0\x01\0\0",
]


@settings(max_examples=200, deadline=None)
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=400))
def test_garbage_is_refused_cleanly(magic: bytes, rest: bytes) -> None:
    """Random bytes behind any magic number give samples or one of our two refusals."""
    try:
        decoded = decode(magic + rest, max_seconds=60)
    except (MediaError, TooLongError):
        return

    assert decoded.frames > 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    extension=st.sampled_from(sorted(FORMATS)),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=20),
    kept=st.floats(0, 1),
)
def test_mutations_are_survived(
    media: dict[str, bytes], extension: str, places: list[tuple[float, int]], kept: float
) -> None:
    """Real files with flipped bytes and lost tails give finite samples or one of our refusals."""
    data = bytearray(media[extension])
    for place, value in places:
        data[int(place * len(data))] = value
    try:
        decoded = decode(bytes(data[: int(kept * len(data))]), max_seconds=60)
    except (MediaError, TooLongError):
        return

    assert np.isfinite(decoded.samples).all()
