"""From marks and gaps to words: how long a unit is, and what the patterns say."""

from collections.abc import Iterator, Sequence
from math import exp, log

from attrs import frozen

from junctor_morse.alphabet import CHARACTERS, LETTER_GAP, UNKNOWN, WORD_GAP
from junctor_morse.keying import Run

_SLOWEST, _FASTEST = 0.4, 0.015
"""Seconds a unit may last: 3 to 80 words a minute."""
_USUAL = 0.06
"""The unit at 20 words a minute, for messages that fit two speeds, such as T and E."""
_STEPS = 240
_JUDGED = 2000
"""Runs from which the unit is estimated, at most."""
_WORST = 0.3
"""What one run that fits nothing counts: a slip of the hand must not decide."""
_PAUSE = 0.25
"""Weight of a silence longer than that between words: people pause as they like."""
_NEXT_LETTER, _NEXT_WORD, _NEXT_PHRASE = 2.0, 5.0, 2.5 * WORD_GAP
"""Gaps in units from which on something new begins."""


@frozen
class Spelled:
    """A word as it was keyed. Times are seconds."""

    text: str
    start: float
    end: float
    opens_phrase: bool
    """Whether a long silence was before it."""


def spell(runs: Sequence[Run]) -> tuple[Spelled, ...]:
    """Return the words in a message of marks and gaps that begins and ends with a mark."""
    return tuple(_words(runs, unit_of(runs))) if runs else ()


def unit_of(runs: Sequence[Run]) -> float:
    """Return the length of a dot that fits the runs best, seconds."""
    ratio = log(_FASTEST / _SLOWEST) / (_STEPS - 1)
    candidates = (_SLOWEST * exp(ratio * step) for step in range(_STEPS))
    judged = [(run.is_down, log(run.seconds)) for run in runs[:_JUDGED]]
    return min(candidates, key=lambda unit: _misfit(judged, log(unit)))


def _misfit(judged: Sequence[tuple[bool, float]], unit: float) -> float:
    """Add up how far each run is from the lengths it may have; all are logarithms."""
    marks = (unit, unit + log(3))
    gaps = (unit, unit + log(LETTER_GAP), unit + log(WORD_GAP))
    cost = 1e-3 * (unit - log(_USUAL)) ** 2
    for is_down, length in judged:
        off = min(abs(length - fit) for fit in (marks if is_down else gaps))
        is_pause = not is_down and length > gaps[-1]
        cost += min(_WORST, off * off) * (_PAUSE if is_pause else 1.0)
    return cost


def _words(runs: Sequence[Run], unit: float) -> Iterator[Spelled]:
    letters, pattern, start, opens = "", "", runs[0].start, True
    for mark, gap in zip(runs[::2], [*runs[1::2], None], strict=True):
        pattern += "." if mark.seconds < _NEXT_LETTER * unit else "-"
        silence = gap.seconds / unit if gap is not None else float("inf")
        if silence >= _NEXT_LETTER:
            letters += CHARACTERS.get(pattern, UNKNOWN)
            pattern = ""
        if silence >= _NEXT_WORD:
            yield Spelled(letters, start, mark.end, opens)
            letters, opens = "", silence >= _NEXT_PHRASE
            start = gap.end if gap is not None else mark.end
