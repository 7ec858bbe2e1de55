"""Raw samples of live speech: any encoding, rate and number of channels becomes one kind."""

import av
import numpy as np
import pytest

from junctor.core.audio.pcm import PcmIntake, clip_of_pcm, is_loud, samples_of
from junctor.core.errors import InvalidRequestError
from tests.media import make_tone

CODECS = {"mulaw": "pcm_mulaw", "alaw": "pcm_alaw"}


def to_pcm(samples) -> bytes:
    pcm: bytes = (samples * 32767).astype("<i2").tobytes()
    return pcm


@pytest.mark.parametrize("encoding", CODECS)
def test_telephone_codes_are_those_of_ffmpeg(encoding):
    """Every one of the 256 codes means what FFmpeg takes it for."""
    codes = bytes(range(256))
    codec = av.AudioCodecContext.create(CODECS[encoding], "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout = 16_000, "mono"
    [frame] = codec.decode(av.Packet(codes))

    assert frame.to_ndarray()[0].tobytes() == PcmIntake(encoding, 16_000).feed(codes)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_arrive_whole(rate):
    """A tone in pieces comes out at 16 kHz, as long as before, and as the same tone."""
    intake = PcmIntake("pcm_s16le", rate)
    pcm = to_pcm(make_tone(1.0, rate))
    heard = b"".join(intake.feed(pcm[at : at + 640]) for at in range(0, len(pcm), 640))
    samples = samples_of(heard + intake.flush())

    assert len(samples) == 16_000
    assert np.abs(samples - make_tone(1.0, 16_000))[2_000:-2_000].max() < 0.001


def test_channels_are_averaged():
    """Two channels of opposite sign are silence, and one frame has a sample of each."""
    tone = make_tone(0.1, 16_000)
    stereo = to_pcm(np.stack([tone, -tone], axis=1).reshape(-1))
    intake = PcmIntake("pcm_s16le", 16_000, channels=2)

    assert intake.frames_in(stereo) == 1600
    assert not any(intake.feed(stereo))


def test_what_is_as_it_should_be_is_not_touched():
    """16 kHz mono is handed on as the very bytes."""
    chunk = to_pcm(make_tone(0.1, 16_000))

    assert PcmIntake("pcm_s16le", 16_000).feed(chunk) is chunk


@pytest.mark.parametrize(("encoding", "channels", "size"), [("pcm_s16le", 1, 3), ("alaw", 2, 5)])
def test_half_a_sample_is_refused(encoding, channels, size):
    """A chunk that ends inside a sample is a mistake of the client, and says so."""
    intake = PcmIntake(encoding, 16_000, channels=channels)

    with pytest.raises(InvalidRequestError, match=f"this one has {size} bytes"):
        intake.frames_in(bytes(size))


def test_loudness():
    """A tone is loud; silence, a faint hum and nothing at all are not."""
    tone = make_tone(0.1, 16_000)

    assert is_loud(to_pcm(tone))
    assert not any(map(is_loud, (bytes(3200), to_pcm(0.02 * tone), b"")))


async def test_clip_of_samples():
    """The clip has the length, the samples and the WAV bytes of what was heard."""
    pcm = to_pcm(make_tone(0.5, 16_000))
    clip = clip_of_pcm(pcm)

    assert (clip.frames, clip.rate, clip.media_type) == (8_000, 16_000, "audio/wav")
    assert clip.data.endswith(pcm)
    assert (await clip.samples() == samples_of(pcm)).all()
