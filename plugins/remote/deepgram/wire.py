"""What Deepgram answers, and what it means."""

from collections.abc import Sequence

from msgspec import Struct

from junctor.core.errors import ProviderUnavailableError
from junctor.core.locales import standard
from junctor.core.net import Target
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import (
    LiveEvent,
    LiveFinal,
    LivePartial,
    Segment,
    Transcript,
    Word,
)
from junctor.plugins.remote.deepgram.cards import NAME
from junctor.plugins.remote.vendor import nonsense, read


class _Word(Struct):
    word: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    punctuated_word: str | None = None
    speaker: int | None = None


class _Alternative(Struct):
    transcript: str = ""
    confidence: float | None = None
    words: list[_Word] | None = None
    languages: list[str] | None = None


class _Channel(Struct):
    alternatives: list[_Alternative] | None = None
    detected_language: str | None = None
    language_confidence: float | None = None


class _Utterance(Struct):
    start: float
    end: float
    transcript: str
    words: list[_Word] | None = None
    speaker: int | None = None


class _Results(Struct):
    channels: list[_Channel]
    utterances: list[_Utterance] | None = None


class Answer(Struct):
    """What a recording gives."""

    results: _Results


class _Kind(Struct):
    type: str = ""


class _Heard(Struct):
    """A `Results` message of Nova."""

    channel: _Channel
    start: float = 0.0
    duration: float = 0.0
    is_final: bool = False


class Turn(Struct):
    """A `TurnInfo` message of Flux."""

    event: str
    transcript: str = ""
    audio_window_start: float = 0.0
    audio_window_end: float = 0.0
    words: list[_Word] | None = None
    languages: list[str] | None = None


def _words(words: Sequence[_Word] | None) -> tuple[Word, ...]:
    return tuple(
        Word(
            text=text,
            start=one.start,
            end=one.end,
            confidence=one.confidence,
            speaker=None if one.speaker is None else str(one.speaker),
        )
        for one in words or ()
        if one.start is not None and one.end is not None
        if (text := (one.punctuated_word or one.word).strip())
    )


def _first_language(heard: Sequence[str] | None, asked: str | None) -> str | None:
    return (standard(heard[0]) if heard else None) or asked


def _best(channel: _Channel) -> _Alternative:
    return channel.alternatives[0] if channel.alternatives else _Alternative()


def transcript_of(answer: Answer, request: TranscribeRequest, target: Target) -> Transcript:
    """
    Return the transcript of a recording's only channel.

    Raises:
        ProviderAnswerError: there is no channel.

    """
    if not answer.results.channels:
        raise nonsense(target)
    channel = answer.results.channels[0]
    best = _best(channel)
    detected = [channel.detected_language] if channel.detected_language else best.languages
    return Transcript(
        text=best.transcript,
        language=_first_language(detected, request.language),
        language_confidence=channel.language_confidence,
        confidence=best.confidence,
        segments=tuple(
            Segment(
                text=one.transcript,
                start=one.start,
                end=one.end,
                words=_words(one.words),
                speaker=None if one.speaker is None else str(one.speaker),
            )
            for one in answer.results.utterances or ()
        ),
        words=_words(best.words),
    )


def kind_of(message: bytes, target: Target) -> str:
    """
    Return the type of a live message.

    Raises:
        ProviderUnavailableError: it says that the conversation is over.
        ProviderAnswerError: it is no message.

    """
    kind = read(message, _Kind, target).type
    if kind == "Error":
        raise ProviderUnavailableError(
            f"{NAME} gave up the conversation.", provider=NAME, model=target.model
        )
    return kind


def heard(message: bytes, request: LiveRequest, target: Target) -> LiveEvent | None:
    """Return what Nova heard; None for silence."""
    result = read(message, _Heard, target)
    best = _best(result.channel)
    if not best.transcript.strip():
        return None
    language = _first_language(best.languages, request.language)
    if not result.is_final:
        return LivePartial(text=best.transcript, language=language)
    return LiveFinal(
        text=best.transcript,
        start=result.start,
        end=result.start + result.duration,
        words=_words(best.words),
        language=language,
        confidence=best.confidence,
    )


def turned(turn: Turn, request: LiveRequest, *, is_over: bool) -> LiveEvent:
    """Return what Flux says of a turn: a final when it is over."""
    language = _first_language(turn.languages, request.language)
    if not is_over:
        return LivePartial(text=turn.transcript, language=language)
    return LiveFinal(
        text=turn.transcript,
        start=turn.audio_window_start,
        end=turn.audio_window_end,
        words=_words(turn.words),
        language=language,
    )
