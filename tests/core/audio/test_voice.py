"""Where somebody speaks, judged as seldom as it matters, and whatever the pieces are."""

import numpy as np
import pytest

from junctor.core.audio.pcm import samples_of
from junctor.core.audio.vad import FRAME_SAMPLES, speech_probabilities
from junctor.core.audio.voice import SPEECH, VoiceTrack
from tests.plugins.local.voices import say


@pytest.fixture(name="pcm", scope="module")
def _pcm() -> bytes:
    """Speech between silences, through a little noise."""
    samples = np.frombuffer(say("the weather is very nice").data[44:], "<i2").astype(int)
    noise = np.random.default_rng(0).integers(-60, 60, len(samples))
    return (samples + noise).clip(-32768, 32767).astype("<i2").tobytes()


def heard(pcm: bytes, size: int) -> VoiceTrack:
    track = VoiceTrack.best()
    for at in range(0, len(pcm), size):
        track.hear(pcm[at : at + size])
    track.finish()
    return track


@pytest.mark.parametrize("size", [2, 640, 1_024, 100_000])
def test_pieces_do_not_matter(pcm, size):
    """The same frames have the same probabilities as those of the whole recording at once."""
    track = heard(pcm, size)
    whole = speech_probabilities(samples_of(pcm))

    assert list(track.read(0)) == pytest.approx(whole.tolist(), abs=1e-6)
    assert track.onset == int(np.argmax(whole >= SPEECH)) * FRAME_SAMPLES


def test_next_to_no_sound_is_not_judged(pcm):
    """Before and behind speech, digital silence is no speech, and speech is found all the same."""
    silence = bytes(2 * 16_000)
    track = heard(silence + pcm + silence, 640)
    found = np.array(track.read(0))
    alone = np.array(heard(pcm, 640).read(0))

    assert found[:30].max() == 0.0
    assert abs(int((found >= SPEECH).sum()) - int((alone >= SPEECH).sum())) <= 2


def test_the_end_is_judged_whole(pcm):
    """What waits for its fourth frame is judged when the stream ends."""
    middle = pcm[len(pcm) // 3 : len(pcm) // 2]
    track = VoiceTrack.best()
    for at in range(0, len(middle), 640):
        track.hear(middle[at : at + 640])
    before = track.end
    track.finish()

    assert before <= len(middle) // 2 <= track.end < len(middle) // 2 + FRAME_SAMPLES


def test_what_is_forgotten_keeps_its_places(pcm):
    """Positions are those of the stream, whatever was dropped before."""
    track = heard(pcm, 640)
    there = list(track.read(8_000))
    track.forget(7_000)

    assert list(track.read(8_000)) == there
    assert list(track.read(0)) == list(track.read(7_000))


def test_loudness_is_judged_frame_by_frame():
    """Without a detector, what is loud is speech."""
    track = VoiceTrack()
    track.hear(bytes(1_024) + b"\x00\x40" * 512)

    assert list(track.read(0)) == [0.0, 1.0]
    assert track.is_speech
