"""The eSpeak NG voice: samples, times, and what happens without it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from junctor.core.audio.espeak import Espeak
from junctor.core.errors import InvalidRequestError

SENTENCE = "turn on the light"
WITHOUT_THE_WHEEL = """
import sys
sys.modules["espeakng_loader"] = None
from junctor.core.audio.espeak import Espeak
from junctor.core.errors import NotConfiguredError
try:
    Espeak()
except NotConfiguredError as exc:
    print(exc)
"""


def test_says_english() -> None:
    """A sentence becomes mono int16 samples of a plausible length and level."""
    espeak = Espeak()

    samples = espeak.synthesize(SENTENCE)

    assert np.int16 == samples.dtype
    assert 1 == samples.ndim
    assert 0.6 < len(samples) / espeak.sample_rate < 2
    assert np.abs(samples).max() > 3000


def test_says_the_same_every_time() -> None:
    """Equal wishes give equal speech, up to the engine's running phase."""
    first, other, again = (Espeak().speak(text) for text in (SENTENCE, "good night", SENTENCE))

    assert first.duration == pytest.approx(again.duration, abs=0.01)
    assert first.duration != pytest.approx(other.duration, abs=0.01)


@pytest.mark.parametrize(
    ("text", "voice"), [("turn off the music", "en-us"), ("ช่วย เปิด ประตู", "th+f2")]
)
def test_tells_when_it_says_each_word(text: str, voice: str) -> None:
    """Every word has its place in the text and a time, in order, within the speech."""
    speech = Espeak().speak(text, voice=voice)

    starts = [word.start for word in speech.words]
    beginnings = {text.index(word) for word in text.split()}

    assert beginnings <= {word.position for word in speech.words}
    assert sorted(starts) == starts
    assert starts[-1] < speech.duration


def test_tells_when_it_says_each_phoneme() -> None:
    """Phonemes come with their names and times, in order."""
    phonemes = Espeak().speak("open", voice="en-us").phonemes

    assert "oU" in {phoneme.name.strip("',") for phoneme in phonemes}
    assert sorted(phoneme.start for phoneme in phonemes) == [item.start for item in phonemes]


def test_speaks_faster_when_asked() -> None:
    """A higher rate gives shorter speech, and the rate does not stick."""
    normal, fast, again = (Espeak().speak(SENTENCE, rate=rate).duration for rate in (140, 280, 140))

    assert fast < 0.75 * normal
    assert normal == pytest.approx(again, abs=0.01)


@pytest.mark.parametrize("voice", ["tlh-nobody", "en-us+nobody", "en-us+", ""])
def test_refuses_an_unknown_voice(voice: str) -> None:
    """Neither a language nor a variant that does not exist is silently replaced."""
    with pytest.raises(InvalidRequestError, match="has no voice") as caught:
        Espeak().synthesize(SENTENCE, voice=voice)

    assert "voice" == caught.value.param


def test_says_nothing_when_told_nothing() -> None:
    """An empty text gives no words."""
    speech = Espeak().speak("")

    assert () == speech.words
    assert speech.duration < 0.1


def test_keeps_callers_in_threads_apart() -> None:
    """Instances share one engine, and yet everyone gets their own speech."""
    texts = [SENTENCE, "good morning", "call the bank", "stop"] * 5
    expected = [Espeak().speak(text).duration for text in texts]

    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(lambda text: Espeak().speak(text).duration, texts))

    assert expected == pytest.approx(spoken, abs=0.01)


def test_names_the_extra_that_is_missing() -> None:
    """Without the wheel the error says what to install."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_WHEEL], capture_output=True, text=True, check=True
    )

    assert "pip install 'junctor[espeak]'" in ran.stdout
