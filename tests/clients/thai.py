"""Thai sentences that eSpeak says and the embedded engine knows, as recordings of 16 kHz."""

import wave
from pathlib import Path

import numpy as np
import soxr

from junctor.core.audio.espeak import Espeak
from tests.clients.recordings import errors

RATE = 16_000
FRAME = RATE // 50 * 2
"""Bytes of 20 ms."""
SAID = "ผม อยาก กิน ปลา"
"""Words apart, as eSpeak wants them."""


def spoken(sentence: str, *, before: float = 0.6, after: float = 0.6) -> bytes:
    """Return a sentence as 16-bit samples, with so many seconds of silence around it."""
    speech = Espeak().speak(sentence, voice="th")
    sound = soxr.resample(speech.samples.astype(np.float32), speech.sample_rate, RATE)
    parts = [np.zeros(round(before * RATE)), sound, np.zeros(round(after * RATE))]
    return np.concatenate(parts).clip(-32_768, 32_767).astype("<i2").tobytes()


def recorded(path: Path, pcm: bytes) -> Path:
    """Write samples into a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return path


def wrong(said: str, heard: str) -> float:
    """Return the rate of wrong characters, spaces apart."""
    bare = said.replace(" ", "")
    return errors(bare, heard.replace(" ", "")) / len(bare)
