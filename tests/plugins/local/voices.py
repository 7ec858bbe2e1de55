"""What eSpeak says, as clips: real speech made at test time."""

import numpy as np
import soxr

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.espeak import Espeak
from junctor.core.testing.clips import clip_of

GAP = np.zeros(round(0.6 * SAMPLE_RATE), np.float32)
"""Silence before, between and after sentences."""

TRAINED = {
    "th": ("th", "th+m1", "th+m3", "th+f2", "th+f4"),
    "en": ("en-us", "en-us+m1", "en-us+m7", "en-us+f2", "en-gb-x-rp"),
}
"""By language, voices that the tiny Whisper was trained on."""


def say(*sentences: str, voice: str = "en-us") -> Clip:
    """Return a clip of these sentences, 0.6 s of silence around each."""
    espeak = Espeak()
    parts: list[np.ndarray] = [GAP]
    for sentence in sentences:
        speech = espeak.speak(sentence, voice=voice)
        sound = speech.samples.astype(np.float32) / 32768
        parts += [soxr.resample(sound, speech.sample_rate, SAMPLE_RATE), GAP]
    return clip_of(np.concatenate(parts))


def bare(text: str) -> str:
    """Return the text without spaces: eSpeak wants Thai words apart, and Whisper joins them."""
    return text.replace(" ", "")
