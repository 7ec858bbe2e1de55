"""ElevenLabs' answers as Structs, and as ours; unknown fields are ignored."""

import math
from collections.abc import Iterable

import msgspec

from junctor.core.locales import standard
from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import Transcript, Word


class WireWord(msgspec.Struct):
    """A word, the space between two, or a sound; times in seconds."""

    text: str
    type: str = "word"
    start: float | None = None
    end: float | None = None
    speaker_id: str | None = None
    logprob: float | None = None


class Answer(msgspec.Struct):
    """A transcript."""

    text: str
    language_code: str | None = None
    language_probability: float | None = None
    words: list[WireWord] | None = None


class _Complaint(msgspec.Struct):
    detail: object = None


def code_of(body: bytes) -> str:
    """Return what an error calls itself; empty where it does not."""
    try:
        detail = msgspec.json.decode(body, type=_Complaint).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(detail, dict):  # a sentence, or a list of fields that are wrong
        return ""
    return str(detail.get("status") or detail.get("code") or "")


def transcript(found: Answer, request: TranscribeRequest) -> Transcript:
    """Return the transcript of an answer."""
    spoken = words(found.words or ())
    detected = tag_of(found.language_code) if request.language is None else None
    return Transcript(
        text=found.text.strip(),
        language=detected or request.language,
        language_confidence=None if detected is None else found.language_probability,
        confidence=mean_confidence(spoken),
        words=spoken,
    )


def words(heard: Iterable[WireWord]) -> tuple[Word, ...]:
    """Return the words without spaces and sounds; a time that is not told is its neighbour's."""
    result: list[Word] = []
    until = 0.0
    for one in heard:
        text = one.text.strip()
        if one.type != "word" or not text:
            continue
        start = until if one.start is None else one.start
        until = max(start, start if one.end is None else one.end)
        sure = None if one.logprob is None else min(1.0, math.exp(one.logprob))
        word = Word(text=text, start=start, end=until, confidence=sure, speaker=one.speaker_id)
        result.append(word)
    return tuple(result)


def mean_confidence(spoken: Iterable[Word]) -> float | None:
    """Return the mean confidence of words; None where none is told."""
    sure = [word.confidence for word in spoken if word.confidence is not None]
    return sum(sure) / len(sure) if sure else None


def tag_of(code: str | None) -> str | None:
    """Return the BCP-47 tag of a code of two or three letters; None for what is none."""
    return standard(code) if code else None
