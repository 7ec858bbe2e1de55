"""Write Morse code as sound."""

from typing import TYPE_CHECKING

from junctor_morse.alphabet import LETTER_GAP, WORD_GAP, patterns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
"""Hz."""
PARIS = 50
"""Units of the word by which speed is measured, the gap after it included."""
_EDGE = 0.005
"""Seconds over which a mark swells and fades, so that it does not click."""


def key(text: str, *, wpm: float = 20.0, hertz: float = 600.0) -> "NDArray[np.float32]":
    """
    Return a text as tones: float32, mono, 16 kHz, half of full scale.

    Args:
        text: what to send.
        wpm: words a minute.
        hertz: pitch, Hz.

    Raises:
        ValueError: a character has no code; it is named.

    """
    import numpy as np

    unit = round(RATE * 60 / PARIS / wpm)
    down = np.repeat(np.array(_keyed(text), dtype=np.float32), unit)
    edge = max(1, min(unit // 2, round(_EDGE * RATE)))
    shape = np.convolve(down, np.full(edge, 1 / edge, dtype=np.float32), mode="same")
    times = np.arange(len(shape), dtype=np.float64) / RATE
    return (0.5 * shape * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def _keyed(text: str) -> list[bool]:
    """Return whether the key is down, unit by unit, with a word's gap before and after."""
    silence = [False]
    down = silence * WORD_GAP
    for word in patterns(text):
        for pattern in word:
            for mark in pattern:
                down += [True] * (3 if mark == "-" else 1) + silence
            down += silence * (LETTER_GAP - 1)
        down += silence * (WORD_GAP - LETTER_GAP)
    return down
