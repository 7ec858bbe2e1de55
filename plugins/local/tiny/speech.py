"""
Renderings of words and sentences in eSpeak's voices, with the truth about when each is said.

Shared by training, evaluation and the tests, so that all three hear the same speaker.
"""

import random
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt
import soxr

from junctor.core.audio.espeak import Espeak, Speech
from junctor.plugins.local.tiny import domain

SAMPLE_RATE = 16_000
"""Hz of every waveform here."""

Wave = npt.NDArray[np.float32]
Span = tuple[float, float]

_TRAINED = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4", "+f5", "+Annie")
_HELD_OUT = ("+m2", "+f3", "+adam")
TRAINED_VOICES = {
    "th": tuple(f"th{variant}" for variant in _TRAINED),
    "en": (
        *(f"en-us{variant}" for variant in _TRAINED),
        *(f"en-gb-x-rp{variant}" for variant in ("", "+m1", "+f2")),
    ),
}
HELD_OUT_VOICES = {
    "th": tuple(f"th{variant}" for variant in _HELD_OUT),
    "en": tuple(f"en-us{variant}" for variant in _HELD_OUT),
}
"""Voices that are never rendered in training."""


@attrs.frozen(eq=False)
class Utterance:
    """Words said in one breath: `wave` (float32, 16 kHz, within ±1) and who is where in it."""

    language: str
    words: tuple[str, ...]
    wave: Wave
    spans: tuple[Span | None, ...]
    """Start and end of each word in seconds; None where eSpeak ran words together."""
    phonemes: tuple[tuple[float, str], ...]
    """Start in seconds and plain name of each phoneme."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.wave) / SAMPLE_RATE


def plain(phoneme: str) -> str:
    """Return the name without stress marks, so that few classes remain."""
    return phoneme.strip("',").replace("_:", "_")


def _spans(words: Sequence[str], gap: str, speech: Speech) -> tuple[Span | None, ...]:
    starts = {word.position: word.start for word in speech.words}
    position, found = 0, []
    for word in words:
        found.append(starts.get(position))
        position += len(word) + len(gap)
    ends = [*found[1:], speech.duration]
    return tuple(
        None if start is None or end is None else (start, end)
        for start, end in zip(found, ends, strict=True)
    )


def render(
    words: Sequence[str],
    language: str,
    *,
    voice: str,
    rate: int = 160,
    pitch: int = 50,
    joined: bool = False,
) -> Utterance:
    """
    Have eSpeak say `words`.

    Args:
        words: of one language, in order.
        language: ``th`` or ``en``.
        voice: eSpeak's name of it.
        rate: words per minute.
        pitch: 0 to 100.
        joined: leave no spaces between the words, as Thai is really written.

    """
    gap = "" if joined else " "
    speech = Espeak().speak(gap.join(words), voice=voice, rate=rate, pitch=pitch)
    wave = soxr.resample(speech.samples, speech.sample_rate, SAMPLE_RATE).astype(np.float32) / 32768
    return Utterance(
        language=language,
        words=tuple(words),
        wave=wave,
        spans=_spans(words, gap, speech),
        phonemes=tuple((phoneme.start, plain(phoneme.name)) for phoneme in speech.phonemes),
    )


def phoneme_classes() -> dict[str, int]:
    """Return a number for every phoneme that eSpeak uses for the domain's words."""
    classes: dict[str, int] = {}
    for language, voice in (("th", "th"), ("en", "en-us")):
        for word in domain.vocabulary(language):
            for _, name in render([word], language, voice=voice).phonemes:
                classes.setdefault(name, len(classes))
    return classes


class Augmentation:
    """Rooms, lines and levels, drawn at random from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 — not a secret
        self._normal = np.random.default_rng(seed)
        # Made once: colouring noise anew for each window costs more than saying its words.
        self._noises = [self._colour() for _ in range(24)]

    def happens(self, share: float) -> bool:
        """Return True in `share` of the calls."""
        return self._random.random() < share

    def _colour(self) -> Wave:
        count = 1 << 18
        wave = self._normal.standard_normal(count).astype(np.float32)
        if self.happens(0.5):
            spectrum = np.fft.rfft(wave)
            spectrum *= (1 + np.arange(len(spectrum))) ** -self._random.uniform(0, 0.8)
            wave = np.fft.irfft(spectrum, count).astype(np.float32)
        if self.happens(0.2):
            wave = wave / wave.std() + self.tone(count, self._random.choice([50, 60, 100, 120]))
        unit: Wave = (wave / wave.std()).astype(np.float32)
        return unit

    def noise(self, count: int) -> Wave:
        """Return up to 16 s of noise of unit level: white, coloured, or with mains hum."""
        wave = self._random.choice(self._noises)
        first = self._random.randint(0, len(wave) - count)
        return wave[first : first + count]

    def tone(self, count: int, hertz: float) -> Wave:
        """Return `count` samples of a sine wave of unit level."""
        times = np.arange(count) / SAMPLE_RATE
        return np.sin(2 * np.pi * hertz * times).astype(np.float32)

    def no_speech(self, count: int) -> Wave:
        """Return `count` samples that hold no word: silence, noise, tones, beeps."""
        if self.happens(0.25):
            return np.zeros(count, np.float32)
        if self.happens(0.45):
            return 0.05 * self.noise(count)
        wave = 0.3 * self.tone(count, 40 * 100 ** self._random.random())
        if self.happens(0.5):
            beeps = np.arange(count) // int(SAMPLE_RATE * self._random.uniform(0.1, 0.5)) % 2
            wave = wave * beeps.astype(np.float32)
        return wave + 0.01 * self.noise(count)

    def spoil(self, wave: Wave) -> Wave:
        """Return `wave` through a line of random width, noise and level."""
        draw = self._random
        if self.happens(0.2):
            wave = self._narrow(wave, draw.uniform(3400, 7500))
        if self.happens(0.7):
            level = float(np.sqrt(np.mean(wave**2) + 1e-12))
            wave = wave + self.noise(len(wave)) * level * 10 ** (-draw.uniform(5, 40) / 20)
        return (wave * 10 ** (draw.uniform(-25, 0) / 20)).astype(np.float32)

    def _narrow(self, wave: Wave, hertz: float) -> Wave:
        spectrum = np.fft.rfft(wave)
        frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
        spectrum /= np.sqrt(1 + (frequency / hertz) ** 24)
        return np.fft.irfft(spectrum, len(wave)).astype(np.float32)
