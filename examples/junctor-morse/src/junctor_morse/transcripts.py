"""From spelled words to junctor's transcript, and what can be read off one."""

from collections.abc import Iterable, Iterator

from attrs import evolve
from junctor.core.transcripts import Segment, Transcript, Word

from junctor_morse.alphabet import PROCEDURE, UNKNOWN, units
from junctor_morse.decoding import Spelled
from junctor_morse.tones import PARIS

LANGUAGE = "en"
"""The alphabet is the Latin one; what is said with it, nobody can tell."""


def transcript_of(spelled: Iterable[Spelled]) -> Transcript:
    """Return the transcript; a long silence begins a new segment."""
    segments = tuple(map(_segment, _phrases(spelled)))
    return Transcript(
        text=" ".join(segment.text for segment in segments),
        language=LANGUAGE,
        segments=segments,
        words=tuple(word for segment in segments for word in segment.words),
    )


def without_procedure(transcript: Transcript) -> Transcript:
    """Return the transcript without the signals that steer a conversation, such as `<AR>`."""
    if not any(sign in transcript.text for sign in PROCEDURE):
        return transcript
    segments = (
        evolve(segment, text=_cleaned(segment.text), words=_spoken(segment.words))
        for segment in transcript.segments
    )
    return evolve(
        transcript,
        text=_cleaned(transcript.text),
        segments=tuple(segment for segment in segments if segment.text),
        words=_spoken(transcript.words),
    )


def words_per_minute(transcript: Transcript) -> float | None:
    """Return how fast it was keyed, in words such as PARIS; None without a readable word."""
    readable = [word for word in transcript.words if UNKNOWN not in word.text]
    seconds = sum(word.end - word.start for word in readable)
    keyed = sum(units(word.text) for word in readable)
    return round(60 / PARIS * keyed / seconds, 1) if seconds else None


def _phrases(spelled: Iterable[Spelled]) -> Iterator[tuple[Word, ...]]:
    phrase: list[Word] = []
    for one in spelled:
        if one.opens_phrase and phrase:
            yield tuple(phrase)
            phrase = []
        phrase.append(Word(text=one.text, start=one.start, end=one.end))
    if phrase:
        yield tuple(phrase)


def _segment(words: tuple[Word, ...]) -> Segment:
    return Segment(
        text=" ".join(word.text for word in words),
        start=words[0].start,
        end=words[-1].end,
        words=words,
    )


def _cleaned(text: str) -> str:
    return " ".join(word for word in text.split() if word not in PROCEDURE)


def _spoken(words: Iterable[Word]) -> tuple[Word, ...]:
    return tuple(word for word in words if word.text not in PROCEDURE)
