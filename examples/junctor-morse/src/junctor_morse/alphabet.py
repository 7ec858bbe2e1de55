"""International Morse code (ITU-R M.1677-1): what each pattern of dots and dashes stands for."""

from collections.abc import Iterator

CODES = {
    "A": ".-", "B": "-...", "C": "-.-.", "D": "-..", "E": ".", "F": "..-.", "G": "--.",
    "H": "....", "I": "..", "J": ".---", "K": "-.-", "L": ".-..", "M": "--", "N": "-.",
    "O": "---", "P": ".--.", "Q": "--.-", "R": ".-.", "S": "...", "T": "-", "U": "..-",
    "V": "...-", "W": ".--", "X": "-..-", "Y": "-.--", "Z": "--..",
    "0": "-----", "1": ".----", "2": "..---", "3": "...--", "4": "....-",
    "5": ".....", "6": "-....", "7": "--...", "8": "---..", "9": "----.",
    ".": ".-.-.-", ",": "--..--", "?": "..--..", "'": ".----.", "!": "-.-.--", "/": "-..-.",
    "(": "-.--.", ")": "-.--.-", ":": "---...", ";": "-.-.-.", "-": "-....-", "_": "..--.-",
    '"': ".-..-.", "@": ".--.-.",
    "<AR>": ".-.-.", "<AS>": ".-...", "<BT>": "-...-", "<SK>": "...-.-",
}  # fmt: skip
"""The pattern of each character, and of the signals that steer a conversation."""

PROCEDURE = frozenset({"<AR>", "<AS>", "<BT>", "<SK>"})
"""End of message, wait, break, end of contact: steering, no text."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a pattern that is none."""

CHARACTERS = {pattern: character for character, pattern in CODES.items()}

LETTER_GAP, WORD_GAP = 3, 7
"""Silence between two characters and between two words, in units; within a character it is 1."""


def patterns(text: str) -> Iterator[tuple[str, ...]]:
    """
    Yield the patterns of each word.

    Args:
        text: letters in any case, digits, punctuation, and signals such as `<AR>` as words.

    Raises:
        ValueError: a character has no code; it is named.

    """
    for word in text.upper().split():
        characters = (word,) if word in PROCEDURE else tuple(word)
        for character in characters:
            if character not in CODES:
                raise ValueError(f"Morse code has no {character!r}.")
        yield tuple(CODES[character] for character in characters)


def units(text: str) -> int:
    """Return how many units a text lasts, without the gap after it; `PARIS` is 43."""
    words = [
        sum(map(_units, word)) + LETTER_GAP * (len(word) - 1) for word in patterns(text) if word
    ]
    return sum(words) + WORD_GAP * max(0, len(words) - 1)


def _units(pattern: str) -> int:
    return sum(3 if mark == "-" else 1 for mark in pattern) + len(pattern) - 1
