"""WAV files measured by their header, and written."""

import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from junctor.core.audio.wav import WavHeader, encode_wav, read_wav_header, slim_wav
from junctor.core.errors import MediaError
from tests.media import make_wav


def measure(data: bytes) -> WavHeader:
    """Read a header that must be one of PCM."""
    header = read_wav_header(data)
    assert header is not None

    return header


@given(
    pcm=npst.arrays(np.int16, st.integers(0, 200)),
    rate=st.integers(1_000, 768_000),
)
def test_encode_and_read_agree(pcm: NDArray[np.int16], rate: int) -> None:
    """Frames, rate and every 16-bit sample survive being written and read."""
    data = encode_wav(np.divide(pcm, 32768, dtype=np.float32), rate)
    header = measure(data)

    assert (len(pcm), rate, 1) == (header.frames, header.format.rate, header.format.channels)
    assert pcm.tobytes() == data[header.start :]


def test_encode_clips_and_silences() -> None:
    """Louder than full scale is clipped, and what is no number becomes silence."""
    data = encode_wav(np.array([2, -2, np.inf, -np.inf, np.nan], np.float32), 16_000)

    assert [32767, -32768, 32767, -32768, 0] == np.frombuffer(data[44:], "<i2").tolist()


@pytest.mark.parametrize("tag", [1, 0xFFFE])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_pcm_widths(tag: int, bits: int) -> None:
    """Every PCM width is measured, plain or extensible."""
    header = measure(make_wav(bytes(bits // 8 * 2 * 7), tag=tag, bits=bits, channels=2))

    assert 7 == header.frames
    assert bits // 8 * 2 == header.format.frame_bytes


def test_odd_chunks_are_skipped_with_their_padding() -> None:
    """Chunks of odd length before the data do not shift it."""
    chunks = [(b"LIST", b"odd"), (b"fact", b"\1\0\0\0")]
    header = measure(make_wav(bytes(20), chunks=chunks))

    assert (10, 44 + 12 + 12) == (header.frames, header.start)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 4000, 21])
def test_length_is_what_is_there(size: int) -> None:
    """Streaming encoders' sizes and cut-off files count for the whole frames that are there."""
    header = measure(make_wav(bytes(21), data_size=size))

    assert 10 == header.frames


def test_finished_empty_file_is_empty() -> None:
    """A zero size in a file whose writer finished its header is really zero."""
    data = make_wav(b"", data_size=1) + b"LIST\4\0\0\0abcd"
    data = data.replace(b"data\1", b"data\0")
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]

    assert 0 == measure(data).frames


def test_data_smaller_than_the_file_ends_there() -> None:
    """Chunks behind the data are no sound."""
    header = measure(make_wav(bytes(20)) + b"LIST\4\0\0\0abcd")

    assert 10 == header.frames


def test_rf64_tells_its_length_elsewhere() -> None:
    """The 64-bit form is measured by its ds64 chunk, and what follows the data is no sound."""
    sizes = (b"ds64", struct.pack("<QQQI", 0, 20, 0, 0))
    data = make_wav(bytes(20), data_size=0xFFFFFFFF, chunks=[sizes]) + b"LIST\4\0\0\0abcd"

    assert 10 == measure(data.replace(b"RIFF", b"RF64")).frames


def test_slim_keeps_only_the_sound() -> None:
    """Other chunks go, whether before the data or behind it."""
    full = make_wav(b"abcd", tag=2, chunks=[(b"LIST", b"odd")]) + b"LIST\4\0\0\0abcd"

    assert make_wav(b"abcd", tag=2) == slim_wav(full)


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEfmt \2\0\0\0ab",
        b"RIFF\0\0\0\0WAVEdata\2\0\0\0ab",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100_000,
        make_wav(bytes(10), tag=7, bits=8),
        make_wav(bytes(10), tag=0x55),
    ],
)
def test_other_wav_is_left_to_the_decoder(data: bytes) -> None:
    """Unfinished, compressed or strange files are not measured by guesswork."""
    assert read_wav_header(data) is None


@pytest.mark.parametrize(("channels", "rate"), [(0, 16_000), (1, 0), (1, 4_000_000_000)])
def test_absurd_formats_are_refused(channels: int, rate: int) -> None:
    """A header that no sound can have is named as the fault."""
    with pytest.raises(MediaError, match=f"{channels} channels at {rate} Hz"):
        measure(make_wav(bytes(10), channels=channels, rate=rate))


def test_measuring_is_fast() -> None:
    """A minute of speech is measured in far less than a millisecond."""
    data = make_wav(bytes(60 * 32_000))
    start = time.thread_time()
    for _ in range(1_000):
        measure(data)

    assert time.thread_time() - start < 0.2
