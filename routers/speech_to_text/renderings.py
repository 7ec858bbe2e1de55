"""Transcripts in the shape of the speech-to-text contract."""

from collections.abc import Iterator
from math import ceil

import msgspec

from junctor.contracts.speech_to_text import Segment, Transcription, Usage, Word
from junctor.core.locales import match
from junctor.core.tickets import Ticket
from junctor.core.transcripts import Transcript
from junctor.core.transcripts import Word as Heard
from junctor.routers.speech_to_text.forms import Asked

_DIGITS = 3
_encoder = msgspec.json.Encoder()


def transcription(
    transcript: Transcript, asked: Asked, ticket: Ticket, *, seconds: float
) -> Transcription:
    """
    Return the answer.

    Args:
        transcript: what was heard, redacted where that was asked for.
        asked: what was asked for.
        ticket: who answered, and what it costs.
        seconds: how long the work took.

    """
    return Transcription(
        status="success",
        request_id=ticket.request_id,
        text=transcript.text,
        detected_language=language_of(transcript, asked),
        confidence=_rounded(_confidence(transcript)),
        words=words_of(transcript, asked),
        segments=_segments(transcript, asked),
        provider=ticket.provider or "",
        model=ticket.model or "",
        accuracy=asked.tier.value,
        usage=usage(ticket, seconds=seconds),
        warnings=tuple(_warnings(transcript, asked, ticket)),
        metadata=asked.metadata,
        unique_id=asked.unique_id,
    )


def usage(ticket: Ticket, *, seconds: float) -> Usage:
    """Return what a request used; `seconds` is how long the work took."""
    audio = ticket.audio_seconds
    return Usage(
        audio_seconds=round(audio, _DIGITS),
        billed_seconds=ceil(audio),
        realtime_factor=round(seconds / audio, 4) if audio else 0.0,
        cost=round(ticket.cost, 9),
        attempts=ticket.attempts,
        ensemble=ticket.ensemble,
    )


def encoded(answer: msgspec.Struct) -> bytes:
    """Encode an answer."""
    return _encoder.encode(answer)


def words_of(transcript: Transcript, asked: Asked) -> tuple[Word, ...] | None:
    """Return the words, where there are any and they were asked for."""
    is_shown = bool(transcript.words) and (asked.word_timestamps or asked.diarization)
    return tuple(map(_word, transcript.words)) if is_shown else None


def _word(word: Heard) -> Word:
    return Word(
        word=word.text,
        start=round(word.start, _DIGITS),
        end=round(word.end, _DIGITS),
        confidence=_rounded(word.confidence),
        speaker=word.speaker,
    )


def _segments(transcript: Transcript, asked: Asked) -> tuple[Segment, ...] | None:
    """Return who spoke when, where no word tells it."""
    told = any(one.speaker for one in transcript.segments)
    if not asked.diarization or not told or any(one.speaker for one in transcript.words):
        return None
    return tuple(
        Segment(
            text=one.text,
            start=round(one.start, _DIGITS),
            end=round(one.end, _DIGITS),
            speaker=one.speaker,
        )
        for one in transcript.segments
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(min(1.0, max(0.0, number)), 4)


def language_of(transcript: Transcript, asked: Asked) -> str | None:
    """Return the language, in the caller's own tag where that is what was heard."""
    heard, told = transcript.language, asked.tongue.language
    if heard is None or (told is not None and match((told,), heard) is not None):
        return told
    return heard


def _confidence(transcript: Transcript) -> float | None:
    if transcript.confidence is not None:
        return transcript.confidence
    known = [word.confidence for word in transcript.words if word.confidence is not None]
    return sum(known) / len(known) if known else None


def _tells_speakers(transcript: Transcript) -> bool:
    by_word = any(word.speaker for word in transcript.words)
    return by_word or any(segment.speaker for segment in transcript.segments)


def _warnings(transcript: Transcript, asked: Asked, ticket: Ticket) -> Iterator[str]:
    if transcript.is_empty:
        return
    who = f"{ticket.provider}:{ticket.model}"
    if asked.word_timestamps and not transcript.words:
        yield f"{who} gives no word timestamps."
    if asked.diarization and not _tells_speakers(transcript):
        yield f"{who} tells no speakers apart."
