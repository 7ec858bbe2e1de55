"""Where somebody speaks, offline and as a stream."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from junctor.core.audio.espeak import Espeak
from junctor.core.audio.resample import resample
from junctor.core.audio.vad import StreamingVad, speech_probabilities, speech_spans
from tests.media import make_tone

SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture(name="speech", scope="module")
def _speech() -> NDArray[np.float32]:
    voice = Espeak()
    said = voice.synthesize("Please open the window, the room is warm.")
    return resample(np.divide(said, 32768, dtype=np.float32), voice.sample_rate)


def test_speech_is_found_between_silences(speech: NDArray[np.float32]) -> None:
    """Two sentences in silence are two spans at their places."""
    sound = np.concatenate([SILENCE, speech, SILENCE, speech, SILENCE])
    spans = speech_spans(sound, pad=0)
    length = len(speech) / 16_000
    expected = [(1, 1 + length), (2 + length, 2 + 2 * length)]

    assert len(spans) == 2
    assert np.abs(np.array(spans) - np.array(expected)).max() < 0.25


def test_stream_is_offline_bit_for_bit(speech: NDArray[np.float32]) -> None:
    """Frame by frame and all at once give the very same probabilities."""
    sound = np.concatenate([speech] * 20)
    sound = sound[: len(sound) // 512 * 512]
    vad = StreamingVad()
    streamed = np.concatenate([vad.hear(frame) for frame in sound.reshape(-1, 512)])

    assert len(streamed) > 1_000
    assert np.array_equal(streamed, speech_probabilities(sound))


def test_reset_forgets(speech: NDArray[np.float32]) -> None:
    """After a reset the same sound is heard the same way."""
    vad, sound = StreamingVad(), speech[: 40 * 512]
    first = vad.hear(sound)
    vad.reset()

    assert np.array_equal(first, vad.hear(sound))


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0, np.float32),
        SILENCE,
        make_tone(2.0, 16_000),
        np.random.default_rng(7).normal(0, 0.1, 32_000).astype(np.float32),
    ],
    ids=["nothing", "silence", "tone", "noise"],
)
def test_what_is_no_speech(sound: NDArray[np.float32]) -> None:
    """Silence, a tone and noise have no spans."""
    assert [] == speech_spans(sound)


def test_padding_stays_inside_and_apart(speech: NDArray[np.float32]) -> None:
    """However wide the padding, spans stay in the recording and do not overlap."""
    sound = np.concatenate([speech, SILENCE, speech])
    (_, middle), (again, end) = spans = speech_spans(sound, pad=5)

    assert 0 == spans[0][0]
    assert middle == pytest.approx(again)
    assert end == pytest.approx(len(sound) / 16_000)


def test_short_silences_do_not_part(speech: NDArray[np.float32]) -> None:
    """With a longer minimum the same two sentences are one span."""
    sound = np.concatenate([speech, SILENCE, speech])

    assert 1 == len(speech_spans(sound, min_silence=2))


def test_short_speech_is_dropped(speech: NDArray[np.float32]) -> None:
    """With a longer minimum there is nothing."""
    assert [] == speech_spans(speech, min_speech=60)


@pytest.mark.parametrize("length", [1, 511, 513])
def test_odd_frames_are_refused(length: int) -> None:
    """A stream is fed whole frames."""
    with pytest.raises(ValueError, match="512"):
        StreamingVad().hear(np.zeros(length, np.float32))


@pytest.mark.parametrize("missing", ["faster_whisper", "onnxruntime"])
def test_missing_model_names_the_extra(missing: str) -> None:
    """Without the wheel that carries the model the error says what to install."""
    program = f"""
import sys
sys.modules[{missing!r}] = None
from junctor.core.audio import StreamingVad
from junctor.core.errors import NotConfiguredError
try:
    StreamingVad()
except NotConfiguredError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert b"junctor[whisper]" in result.stdout


def test_faster_whisper_is_not_imported() -> None:
    """Only its file is read: its import costs seconds."""
    program = "import sys; from junctor.core.audio import StreamingVad; StreamingVad(); print('faster_whisper' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert b"False" == result.stdout.strip()
