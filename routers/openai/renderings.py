"""From a transcript to the five response formats, and to the events of a stream."""

import zlib
from collections.abc import Sequence
from math import log

import msgspec
from attrs import frozen

from junctor.contracts.languages import english_name
from junctor.contracts.openai import (
    DetectedLanguage,
    DurationUsage,
    Granularity,
    ResponseFormat,
    TextDelta,
    TextDone,
    Transcription,
    TranscriptionSegment,
    TranscriptionVerbose,
    TranscriptionWord,
)
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.subtitles import render_srt, render_vtt
from junctor.core.transcripts import Segment, Transcript

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
SUBRIP = "application/x-subrip; charset=utf-8"
WEBVTT = "text/vtt; charset=utf-8"

_encoder = msgspec.json.Encoder()


@frozen(kw_only=True)
class Rendering:
    """A transcript as bytes, and what they are."""

    body: bytes
    media_type: str


def render(
    transcript: Transcript,
    request: TranscribeRequest,
    *,
    response_format: ResponseFormat,
    granularities: Sequence[Granularity] = (),
) -> Rendering:
    """Render a whole transcript of `request` in one of the five formats."""
    seconds = request.audio.seconds
    match response_format:
        case "json":
            whole = Transcription(text=transcript.text, usage=DurationUsage(seconds=seconds))
            return Rendering(body=_encoder.encode(whole), media_type=JSON)
        case "text":
            return Rendering(body=f"{transcript.text}\n".encode(), media_type=PLAIN)
        case "srt":
            text = render_srt(timed_segments(transcript, seconds))
            return Rendering(body=text.encode(), media_type=SUBRIP)
        case "vtt":
            text = render_vtt(timed_segments(transcript, seconds))
            return Rendering(body=text.encode(), media_type=WEBVTT)
        case "verbose_json":
            verbose = _verbose(transcript, request, granularities or ("segment",))
            return Rendering(body=_encoder.encode(verbose), media_type=JSON)


def timed_segments(transcript: Transcript, seconds: float) -> tuple[Segment, ...]:
    """Return the segments, or one of the whole `seconds` where the provider made none."""
    if transcript.segments or transcript.is_empty:
        return transcript.segments
    return (Segment(text=transcript.text, start=0.0, end=seconds, words=transcript.words),)


def _verbose(
    transcript: Transcript, request: TranscribeRequest, granularities: Sequence[Granularity]
) -> TranscriptionVerbose:
    seconds = request.audio.seconds
    is_translation = request.task is Task.TRANSLATE
    language = "en" if is_translation else transcript.language or request.language
    segments = timed_segments(transcript, seconds)
    return TranscriptionVerbose(
        task="translate" if is_translation else "transcribe",
        language=english_name(language),
        duration=seconds,
        text=transcript.text,
        segments=tuple(
            _segment(number, segment, request.temperature)
            for number, segment in enumerate(segments)
        )
        if "segment" in granularities
        else None,
        words=_words(transcript) if "word" in granularities else None,
        usage=DurationUsage(seconds=seconds),
    )


def _words(transcript: Transcript) -> tuple[TranscriptionWord, ...]:
    words = transcript.words or [word for one in transcript.segments for word in one.words]
    return tuple(
        TranscriptionWord(word=word.text, start=word.start, end=word.end) for word in words
    )


def _segment(number: int, segment: Segment, temperature: float) -> TranscriptionSegment:
    return TranscriptionSegment(
        id=number,
        seek=round(segment.start * 100),
        start=segment.start,
        end=segment.end,
        text=segment.text,
        tokens=segment.tokens,
        temperature=temperature if segment.temperature is None else segment.temperature,
        avg_logprob=_log_probability(segment),
        compression_ratio=_compression_ratio(segment),
        no_speech_prob=segment.no_speech_prob or 0.0,
    )


def _log_probability(segment: Segment) -> float:
    if segment.avg_logprob is not None:
        return segment.avg_logprob
    known = [word.confidence for word in segment.words if word.confidence]
    return sum(map(log, known)) / len(known) if known else 0.0


def _compression_ratio(segment: Segment) -> float:
    if segment.compression_ratio is not None:
        return segment.compression_ratio
    text = segment.text.encode()
    return len(text) / len(zlib.compress(text)) if text else 0.0


def delta_event(text: str) -> bytes:
    """Encode a further piece of text."""
    return server_sent(_encoder.encode(TextDelta(delta=text)))


def done_event(transcript: Transcript) -> bytes:
    """Encode the whole text, the last event of a stream."""
    languages = (DetectedLanguage(code=transcript.language),) if transcript.language else ()
    return server_sent(_encoder.encode(TextDone(text=transcript.text, languages=languages)))


def server_sent(data: bytes) -> bytes:
    """Frame one line of JSON as a server-sent event."""
    return b"data: " + data + b"\n\n"
