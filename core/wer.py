"""
How far two transcripts are apart: the word error rate, or the character's where words have no spaces.

Words are compared without case and punctuation, Unicode in NFKC. The distance is Levenshtein's
(V. I. Levenshtein, 1966) over tokens, divided by the tokens of the reference.
"""

import unicodedata
from collections.abc import Sequence

from junctor.core.locales import primary

UNSPACED = frozenset({"th", "lo", "km", "my", "zh", "yue", "ja", "bo"})
"""Languages that are written without spaces between words; there each character is a token."""


def is_unspaced(language: str | None) -> bool:
    """Say whether a language is written without spaces between words."""
    return language is not None and primary(language) in UNSPACED


def normal(word: str) -> str:
    """Return a word as it is compared: NFKC, case folded, without punctuation and symbols."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] not in "PSZC")


def tokens(text: str, language: str | None) -> list[str]:
    """Return what is counted: normalised words, or characters where words have no spaces."""
    if is_unspaced(language):
        return list(normal(text))
    return [word for one in text.split() if (word := normal(one))]


def distance(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of insertions, deletions and substitutions between two sequences."""
    row = list(range(len(heard) + 1))
    for number, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], number
        for place, got in enumerate(heard, 1):
            best = min(row[place] + 1, row[place - 1] + 1, diagonal + (wanted != got))
            diagonal, row[place] = row[place], best
    return row[-1]


def error_rate(reference: str, heard: str, language: str | None) -> float:
    """Return the error rate of `heard`, 0 for equal texts; may be over 1. Blocking: O(n x m)."""
    wanted = tokens(reference, language)
    got = tokens(heard, language)
    return distance(wanted, got) / max(1, len(wanted))
