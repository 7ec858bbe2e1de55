"""From text to tones and back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from junctor_morse.alphabet import CODES, units
from junctor_morse.decoding import spell
from junctor_morse.keying import StoppedError, find_runs
from junctor_morse.tones import key

Samples = NDArray[np.float32]

PANGRAM = "THE QUICK BROWN FOX JUMPS OVER 13 LAZY DOGS <AR>"


def read(samples: Samples) -> str:
    return " ".join(word.text for word in spell(find_runs(samples, hertz=(200.0, 4000.0))))


def noisy(samples: Samples, share: float) -> Samples:
    noise = np.random.default_rng(0).standard_normal(len(samples))
    return (samples + share * noise).astype(np.float32)


@pytest.mark.parametrize("wpm", [5, 13, 20, 40, 60])
@pytest.mark.parametrize("hertz", [220, 600, 1234.5, 3900])
def test_reads_any_pitch_and_speed(wpm: float, hertz: float) -> None:
    """Neither has to be told."""
    assert read(key("PARIS CQ", wpm=wpm, hertz=hertz)) == "PARIS CQ"


def test_reads_every_character() -> None:
    """The whole alphabet, signals included."""
    text = " ".join(CODES)

    assert read(key(text)) == text


def test_reads_through_noise() -> None:
    """As loud as the tone itself, over all frequencies."""
    assert read(noisy(key(PANGRAM), 0.3)) == PANGRAM


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 160_001])
def test_hears_nothing_in_silence(length: int) -> None:
    """However long or short."""
    assert read(np.zeros(length, np.float32)) == ""


@pytest.mark.parametrize("seed", range(5))
def test_hears_nothing_in_noise(seed: int) -> None:
    """Noise has no pitch."""
    samples = np.random.default_rng(seed).standard_normal(80_000).astype(np.float32)

    assert read(samples) == ""


def test_hears_nothing_in_a_tone_that_is_never_keyed() -> None:
    """A tone alone says nothing."""
    assert read(np.sin(0.3 * np.arange(80_000)).astype(np.float32)) == ""


def test_stops_when_told() -> None:
    """Between two blocks, not at the end."""
    with pytest.raises(StoppedError):
        find_runs(key("PARIS"), hertz=(200.0, 4000.0), should_stop=lambda: True)


def test_a_character_without_a_code_is_named() -> None:
    """Rather than left out."""
    with pytest.raises(ValueError, match="'Ж'"):
        key("Ж")


def test_paris_is_the_measure() -> None:
    """Fifty units with the gap after it."""
    assert units("PARIS") + 7 == 50
