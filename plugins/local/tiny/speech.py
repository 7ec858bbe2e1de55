"""
Renderings of words and sentences in eSpeak's voices, with the truth about when each is said.

Shared by training, evaluation and the tests, so that all three hear the same speaker.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

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

HEARD = 0.7
"""Share of a word that must be heard for it to be written."""

_FIRST = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4", "+f5", "+Annie")
# Every variant that a person understands, but the near twins of those here: no whispers, no
# robots, no caricatures.
_LATER = (
    *("+m4", "+m5", "+m6", "+m8", "+Alex", "+Alicia", "+Andrea", "+Andy", "+Denis", "+Diogo"),
    *("+Gene", "+Gene2", "+Henrique", "+Hugo", "+Jacky", "+Mario", "+Michael", "+Mike", "+Nguyen"),
    *(
        "+Reed",
        "+RicishayMax",
        "+Storm",
        "+announcer",
        "+antonio",
        "+aunty",
        "+belinda",
        "+benjamin",
    ),
    *("+david", "+ed", "+edward", "+grandma", "+grandpa", "+gustave", "+iven2", "+iven4", "+john"),
    *(
        "+klatt3",
        "+klatt4",
        "+klatt6",
        "+linda",
        "+marcelo",
        "+max",
        "+michel",
        "+miguel",
        "+mike2",
    ),
    *("+norbert", "+pablo", "+paul", "+pedro", "+quincy", "+rob", "+robert", "+sandro", "+shelby"),
    *("+steph", "+steph3", "+travis", "+victor", "+zac"),
)
_HELD_OUT = ("+m2", "+f3", "+adam")
FIRST_VOICES = {
    "th": tuple(f"th{variant}" for variant in _FIRST),
    "en": (
        *(f"en-us{variant}" for variant in _FIRST),
        *(f"en-gb-x-rp{variant}" for variant in ("", "+m1", "+f2")),
    ),
}
"""Voices of both stages of training."""
LATER_VOICES = {
    "th": tuple(f"th{variant}" for variant in _LATER),
    "en": (
        *(f"en-us{variant}" for variant in _LATER),
        *(f"en-gb-x-rp{variant}" for variant in ("+m3", "+m6", "+f4", "+linda", "+john")),
    ),
}
"""Voices of the second stage only."""
HELD_OUT_VOICES = {
    "th": tuple(f"th{variant}" for variant in _HELD_OUT),
    "en": tuple(f"en-us{variant}" for variant in _HELD_OUT),
}
"""Voices that are never rendered in training."""


@attrs.frozen
class Manner:
    """How a voice speaks."""

    rate: int = 160
    """Words per minute."""
    pitch: int = 50
    """0 to 100."""
    speed: float = 1.0
    """Played so many times as fast, which makes the speaker as much smaller."""


PLAIN = Manner()


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

    def between(self, first: float, last: float, *, least: float = HEARD) -> "Utterance":
        """
        Return what is heard of it from `first` to `last` seconds.

        A word of which a share of less than `least` is left is none of its words any more.
        """
        first, last = max(0.0, first), min(self.duration, last)
        left = [
            (word, (max(0.0, start - first), min(last, end) - first))
            for word, (start, end) in zip(self.words, self._places(), strict=True)
            if min(last, end) - max(first, start) >= least * (end - start)
        ]
        return Utterance(
            language=self.language,
            words=tuple(word for word, _ in left),
            wave=self.wave[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)],
            spans=tuple(span for _, span in left),
            phonemes=tuple(
                (max(0.0, start - first), name)
                for name, (start, end) in self.timed_phonemes()
                if end > first and start < last
            ),
        )

    def _places(self) -> Sequence[Span]:
        """Return the spans; those eSpeak did not tell are guessed by the letters."""
        letters = np.cumsum([0, *(len(word) + 1 for word in self.words)])
        told = [index for index, span in enumerate(self.spans) if span]
        at = [0, *letters[told].tolist(), int(letters[-1])]
        times = [0.0, *(span[0] for span in self.spans if span), self.duration]
        starts = np.interp(letters, at, times).tolist()
        return list(pairwise(starts))

    def timed_phonemes(self) -> Iterator[tuple[str, Span]]:
        """Yield the name of each phoneme and from when to when it is said, seconds."""
        ends = [*(start for start, _ in self.phonemes[1:]), self.duration]
        for (start, name), end in zip(self.phonemes, ends, strict=False):
            yield name, (start, end)


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
    manner: Manner = PLAIN,
    joined: bool = False,
) -> Utterance:
    """
    Have eSpeak say `words`.

    Args:
        words: of one language, in order.
        language: ``th`` or ``en``.
        voice: eSpeak's name of it.
        manner: how the voice says them.
        joined: leave no spaces between the words, as Thai is really written.

    """
    gap, speed = "" if joined else " ", manner.speed
    text = gap.join(words)
    speech = Espeak().speak(text, voice=voice, rate=manner.rate, pitch=manner.pitch)
    hertz = speech.sample_rate * speed
    wave = soxr.resample(speech.samples, hertz, SAMPLE_RATE).astype(np.float32) / 32768
    spans = (span and (span[0] / speed, span[1] / speed) for span in _spans(words, gap, speech))
    return Utterance(
        language=language,
        words=tuple(words),
        wave=wave,
        spans=tuple(spans),
        phonemes=tuple((phoneme.start / speed, plain(phoneme.name)) for phoneme in speech.phonemes),
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

    def echo(self, wave: Wave) -> Wave:
        """Return `wave` with what a wall throws back."""
        delay = int(SAMPLE_RATE * self._random.uniform(0.005, 0.13))
        echoing = wave.copy()
        echoing[delay:] += self._random.uniform(0.05, 0.4) * wave[:-delay]
        return echoing

    def equalise(self, features: Wave) -> Wave:
        """Return log-mel `features` (bands, frames) as another microphone would make them."""
        bands = len(features)
        knots = self._normal.uniform(-0.2, 0.2, 5)  # a tenth is 4 dB
        curve = np.interp(np.linspace(0, 4, bands), np.arange(5), knots).astype(np.float32)
        coloured = features + curve[:, None]
        result: Wave = np.maximum(coloured, coloured.max() - 2.0)
        return result

    def _narrow(self, wave: Wave, hertz: float) -> Wave:
        spectrum = np.fft.rfft(wave)
        frequency = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
        spectrum /= np.sqrt(1 + (frequency / hertz) ** 24)
        return np.fft.irfft(spectrum, len(wave)).astype(np.float32)
