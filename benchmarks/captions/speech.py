"""What the clients of a benchmark say: Thai of the tiny model's domain, rendered before the clock."""

import random
from collections.abc import Sequence

import numpy as np
from attrs import frozen

from benchmarks.captions.wire import frame
from junctor.core.audio.clip import SAMPLE_RATE
from junctor.plugins.local.tiny import domain, speech

FRAME_SAMPLES = SAMPLE_RATE // 50
"""Of a frame of 20 ms."""
VOICES = ("th", "th+m1", "th+m3", "th+m7", "th+f1", "th+f2", "th+f4", "th+f5")
"""eSpeak's, which the tiny model knows."""
LEAD, PAUSE, TAIL = 1.2, 0.8, 0.1
"""Quiet before the first sentence, between the two, and behind them: seconds."""


@frozen(eq=False)
class Utterance:
    """Two sentences of one voice."""

    text: str
    frames: Sequence[bytes]
    """WebSocket messages of 20 ms each."""


def frames_of(wave: np.ndarray) -> list[bytes]:
    """Cut samples (-1 to 1, 16 kHz) into messages of 20 ms."""
    pcm = (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes()
    size = 2 * FRAME_SAMPLES
    return [frame(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]


def utterances(count: int, *, lead: float = LEAD, seed: int = 1) -> list[Utterance]:
    """Render so many utterances: quiet of `lead` seconds, a sentence, a pause, a sentence."""
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    made = []
    for _ in range(count):
        pair, voice = draw.sample(domain.sentences("th"), 2), draw.choice(VOICES)
        first, second = (speech.render(one.split(), "th", voice=voice).wave for one in pair)
        parts = [_quiet(lead), first, _quiet(PAUSE), second, _quiet(TAIL)]
        wave = np.concatenate(parts)
        wave = wave + noise.normal(0, 3e-4, len(wave)).astype(np.float32)  # the room: -70 dB
        made.append(Utterance(" ".join(pair), frames_of(wave)))
    return made


def silence(seconds: float) -> list[bytes]:
    """Return messages of a quiet room."""
    noise = np.random.default_rng(1)
    return frames_of(noise.normal(0, 3e-4, round(seconds * SAMPLE_RATE)).astype(np.float32))


def _quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
