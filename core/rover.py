"""
ROVER: several transcripts of one recording vote on each word.

Recognizer Output Voting Error Reduction (J. G. Fiscus, "A post-processing system to yield reduced
word error rates", IEEE ASRU 1997): transcripts are aligned one after the other into a word
transition network by dynamic programming, and of each slot the word with the greatest vote is
taken. The vote of a word is the sum over its transcripts of ``weight * (ALPHA + (1 - ALPHA) * confidence)``;
no word at all ("null") votes too, with a fixed confidence. Words that lie apart in time are not
aligned with each other where both sides know their times.
"""

from collections.abc import Sequence

from attrs import define, evolve, field

from junctor.core.transcripts import Segment, Transcript, Word
from junctor.core.wer import is_unspaced, normal

ALPHA = 0.5
"""Share of a vote that is by head; the rest is by confidence."""
NULL_CONFIDENCE = 0.7
"""Confidence of a transcript that there is no word in a slot."""
UNKNOWN_CONFIDENCE = 0.8
"""Of a word whose provider tells none."""
APART = 1.0
"""Seconds between two words beyond which they cannot be the same."""
LONGEST = 20_000
"""Words of the longest transcript that is voted on; beyond, the heaviest one is returned."""
WINDOW = 400
"""Words that are aligned at once: time and memory grow with the square of this, not of an hour."""


_Step = tuple[int | None, int | None]
"""Numbers of a slot and of a word that belong together, None where one is missing."""


@define
class _Slot:
    """One place of the network: what each transcript so far has here; None for no word."""

    words: list[Word | None]
    start: float | None = None

    def key(self) -> frozenset[str]:
        return frozenset(normal(word.text) for word in self.words if word is not None)


@define(kw_only=True)
class _Ballot:
    """The votes of one slot, by normalised word; the empty one is null."""

    votes: dict[str, float] = field(factory=dict)
    best: dict[str, tuple[float, Word]] = field(factory=dict)

    def cast(self, word: Word | None, weight: float) -> None:
        told = NULL_CONFIDENCE if word is None else word.confidence
        confidence = UNKNOWN_CONFIDENCE if told is None else told
        vote = weight * (ALPHA + (1 - ALPHA) * confidence)
        name = "" if word is None else normal(word.text) or word.text
        self.votes[name] = self.votes.get(name, 0.0) + vote
        if word is not None and vote > self.best.get(name, (-1.0, word))[0]:
            self.best[name] = (vote, word)

    def winner(self) -> tuple[Word | None, float]:
        """Return the word that won, and its share of all votes."""
        name = max(self.votes, key=lambda one: self.votes[one])
        share = self.votes[name] / (sum(self.votes.values()) or 1.0)
        return (self.best[name][1] if name else None), share


def vote(transcripts: Sequence[Transcript], weights: Sequence[float]) -> Transcript:
    """
    Return the transcript that several elect; blocking, about half a second for 1,000 words.

    Args:
        transcripts: at least one; the order decides ties.
        weights: how much each one's word counts, 0 to 1, as many as there are transcripts.

    The words of the answer carry the share of the votes as their confidence. Times are those of the
    word that won; words without times get none, and then the answer has no words. Speakers are those
    of one transcript, the first that tells any, since no two providers give them the same names.

    """
    order = sorted(range(len(transcripts)), key=lambda one: -weights[one])
    spoken = [transcripts[one] for one in order if not transcripts[one].is_empty]
    heavy = [weights[one] or 0.01 for one in order if not transcripts[one].is_empty]
    empty = sum(weights) - sum(heavy)
    if not spoken or empty > sum(heavy):
        return transcripts[order[0]] if not spoken else _silence(transcripts, order)
    unspaced = is_unspaced(spoken[0].language)
    lists = [_words(one, unspaced=unspaced) for one in spoken]
    if len(spoken) == 1 or max(map(len, lists)) > LONGEST:
        return spoken[0]
    network = [_Slot([word], word.start if spoken[0].words else None) for word in lists[0]]
    for number, words in enumerate(lists[1:], 1):
        network = _joined(network, words, number, has_times=bool(spoken[number].words))
    return _elected(network, heavy, spoken, unspaced=unspaced)


def _silence(transcripts: Sequence[Transcript], order: Sequence[int]) -> Transcript:
    return next(transcripts[one] for one in order if transcripts[one].is_empty)


def _words(transcript: Transcript, *, unspaced: bool) -> list[Word]:
    if transcript.words:
        return list(transcript.words)
    pieces = list(transcript.text.replace(" ", "")) if unspaced else transcript.text.split()
    return [Word(text=piece, start=0.0, end=0.0) for piece in pieces]


def _joined(
    network: list[_Slot], words: Sequence[Word], number: int, *, has_times: bool
) -> list[_Slot]:
    """Align a transcript with the network, and return the network with it."""
    keys = [slot.key() for slot in network]
    names = [normal(word.text) for word in words]
    steps = _aligned(keys, names, network, words if has_times else ())
    joined: list[_Slot] = []
    for slot_at, word_at in steps:
        slot = _Slot([None] * number) if slot_at is None else network[slot_at]
        word = None if word_at is None else words[word_at]
        slot.words.append(word)
        if slot.start is None and word is not None and has_times:
            slot.start = word.start
        joined.append(slot)
    return joined


def _aligned(
    keys: Sequence[frozenset[str]],
    names: Sequence[str],
    network: Sequence[_Slot],
    timed: Sequence[Word],
) -> list[_Step]:
    """
    Return pairs of slot and word, either of which may be missing, by least edit cost.

    It goes window by window, each from the last agreement of the one before: what lies behind that
    may only look as it does because the window ends there.
    """
    steps: list[_Step] = []
    row = column = 0
    while row < len(keys) or column < len(names):
        last = min(row + WINDOW, len(keys))
        end = _end(network[row:last], column, timed) if timed else column + WINDOW
        costs = _costs(keys[row:last], names[column:end], network[row:last], timed[column:end])
        if last == len(keys) and end >= len(names):
            return steps + _moved(_traced(costs, last - row, len(names) - column), row, column)
        corner = (last - row, len(costs[0]) - 1)  # time says that both sides end there
        found = _traced(costs, *(corner if timed else _cheapest(costs)))
        found = found[: _agreed(found, keys[row:last], names[column:end])]
        steps += _moved(found, row, column)
        row += sum(one is not None for one, _ in found)
        column += sum(other is not None for _, other in found)
    return steps


def _moved(steps: Sequence[_Step], rows: int, columns: int) -> list[_Step]:
    return [
        (None if one is None else one + rows, None if other is None else other + columns)
        for one, other in steps
    ]


def _cheapest(costs: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return where to end at the edge of a window, since no time says that both sides end there."""
    rows, columns = len(costs) - 1, len(costs[0]) - 1
    if not (rows and columns):
        return rows, columns
    edge = [(rows, n) for n in range(columns + 1)] + [(n, columns) for n in range(rows)]
    return min(edge, key=lambda at: (costs[at[0]][at[1]], -sum(at)))


def _end(slots: Sequence[_Slot], column: int, timed: Sequence[Word]) -> int:
    """Return where the words end that may have been said together with these slots."""
    times = [slot.start for slot in slots if slot.start is not None]
    longest = column + 2 * WINDOW
    if not times:
        return longest
    until = max(times) + APART
    return next(
        (n for n in range(column, min(longest, len(timed))) if timed[n].start > until), longest
    )


def _agreed(steps: Sequence[_Step], keys: Sequence[frozenset[str]], names: Sequence[str]) -> int:
    """Return how many steps count: up to the last agreement of the first three quarters."""
    for number in range(len(steps) * 3 // 4, 0, -1):
        one, other = steps[number - 1]
        if one is not None and other is not None and names[other] in keys[one]:
            return number
    return len(steps) // 2 + 1


def _costs(
    keys: Sequence[frozenset[str]],
    names: Sequence[str],
    network: Sequence[_Slot],
    timed: Sequence[Word],
) -> list[list[int]]:
    """Return the least edit cost of each prefix of slots and each prefix of words."""
    cost = [list(range(len(names) + 1))]
    for row, key in enumerate(keys, 1):
        above, line = cost[-1], [row]
        start = network[row - 1].start
        for column, name in enumerate(names, 1):
            swap = 0 if name in key else 1
            if (
                swap
                and timed
                and start is not None
                and abs(timed[column - 1].start - start) > APART
            ):
                swap = 3
            line.append(min(above[column - 1] + swap, above[column] + 1, line[-1] + 1))
        cost.append(line)
    return cost


def _traced(cost: Sequence[Sequence[int]], row: int, column: int) -> list[_Step]:
    """Return the steps that lead to this place at least cost."""
    steps: list[_Step] = []
    while row or column:
        here = cost[row][column]
        if row and here == cost[row - 1][column] + 1:
            row -= 1
            steps.append((row, None))
        elif column and here == cost[row][column - 1] + 1:
            column -= 1
            steps.append((None, column))
        else:
            row, column = row - 1, column - 1
            steps.append((row, column))
    return steps[::-1]


def _elected(
    network: Sequence[_Slot],
    weights: Sequence[float],
    spoken: Sequence[Transcript],
    *,
    unspaced: bool,
) -> Transcript:
    words: list[Word] = []
    tells = [any(word.speaker for word in one.words) for one in spoken]
    speaker: str | None = None
    for slot in network:
        ballot = _Ballot()
        for word, weight in zip(slot.words, weights, strict=True):
            ballot.cast(word, weight)
        winner, share = ballot.winner()
        told = slot.words[tells.index(True)] if any(tells) else None
        speaker = speaker if told is None else told.speaker
        if winner is not None:
            words.append(evolve(winner, confidence=share, speaker=speaker))
    text = _text(words, unspaced=unspaced)
    has_times = any(one.words for one in spoken)
    timed = tuple(sorted((w for w in words if w.end > 0), key=lambda w: w.start))
    best = spoken[0]
    return Transcript(
        text=text,
        language=best.language,
        language_confidence=best.language_confidence,
        confidence=sum(w.confidence or 0.0 for w in words) / len(words) if words else None,
        words=timed if has_times else (),
        segments=(Segment(text=text, start=timed[0].start, end=timed[-1].end, words=timed),)
        if has_times and timed
        else (),
    )


def _text(words: Sequence[Word], *, unspaced: bool) -> str:
    return ("" if unspaced else " ").join(word.text for word in words)
