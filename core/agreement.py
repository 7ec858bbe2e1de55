"""What successive guesses at the same speech agree on: the part of a caption that may be shown."""

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from attrs import define, field

_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Scripts that write words without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_MARKS: Final = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u3099\u309a"
_PIECE: Final = re.compile(rf"\s*(?:[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+)")


def pieces_of(text: str) -> tuple[str, ...]:
    """Cut a text where nobody says how: words with the space before, characters where none are."""
    return tuple(_PIECE.findall(text))


@define(eq=False)
class Agreement:
    """
    LocalAgreement-2: what two guesses in a row have in common at their start stays.

    The agreement of one guess with the next is Liu, Spanakis and Niehues, "Low-Latency
    Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection"
    (Interspeech 2020); for Whisper see Macháček, Dabre and Bojar, "Turning Whisper into Real-Time
    Transcription System" (2023). Unlike there, the last piece of a guess is never agreed on: guesses
    come every 40 ms here, and two of them hear the same half of a word. What was agreed on is never
    taken back.
    """

    agreed: list[str] = field(factory=list)
    """Pieces of the window that will not change."""
    rest: list[str] = field(factory=list)
    """What the last guess had behind them."""

    def hear(self, pieces: Sequence[str]) -> int:
        """
        Take the next guess into account; return how many more pieces are agreed on.

        Args:
            pieces: of the whole window, what is agreed on already included.

        """
        known = len(self.agreed)
        if list(pieces[:known]) != self.agreed:
            self.rest = list(pieces[known:])  # it contradicts: shown, but agreed on with nobody
            return 0
        rest = list(pieces[known:])
        pairs = zip(self.rest[:-1], rest[:-1], strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self.agreed += rest[:common]
        self.rest = rest[common:]
        return common

    def drop(self, count: int) -> None:
        """Forget the first pieces of the window, agreed on or not: it has moved on behind them."""
        over = max(0, count - len(self.agreed))
        del self.agreed[:count]
        del self.rest[:over]
